# SPDX-License-Identifier: Apache-2.0
"""CatBoost: one case per option that changes what a model file says or how it is walked."""

from dataclasses import dataclass, field

import numpy as np

import data
import goldenfile
import hostile
import record
import walk

BASE = {"iterations": 9, "depth": 3, "learning_rate": 0.3, "border_count": 32, "random_seed": 3, "thread_count": 1, "verbose": False, "allow_writing_files": False}
FORM, FILE = "catboost-json", "model.json"
RAW, CHANCE, EXPONENT = "RawFormulaVal", "Probability", "Exponent"
# Categorical columns are moved here, among the numeric ones, so that no index of one kind equals that of the row.
PLACES = (0, 4)


@dataclass
class Case:
    name: str
    note: str
    params: dict
    target: str = "real"
    kind: str = RAW  # the prediction type of pred
    table: dict = field(default_factory=dict)  # arguments of data.make
    labels: list | None = None  # class names instead of numbers
    scale: tuple | None = None  # scale and bias set afterwards
    digits: bool = False  # category strings are the codes
    refuse: str | None = None  # why a loader must refuse the model


MISSING = {"missing": True}
CATS = {"codes": 12}
ONE_HOT = {"one_hot_max_size": 255}
LOSSGUIDE = {"grow_policy": "Lossguide", "max_leaves": 9, "depth": 6, "iterations": 8}
DEPTHWISE = {"grow_policy": "Depthwise", "depth": 4, "iterations": 6}


def loss(function, note="", **more):
    """A case that is about its loss function alone."""
    name = more.pop("name", function.split(":")[0].lower())
    return Case(name, note or function, {"loss_function": function, **more.pop("params", {})}, **more)


CASES = [
    loss("RMSE", "RMSE, boost_from_average: a bias", params={"boost_from_average": True}),
    loss("RMSE", "RMSE, no bias", name="rmse-no-bias", params={"boost_from_average": False}, table=MISSING),
    loss("MAE"),
    loss("Quantile:alpha=0.7"),
    loss("MAPE", target="positive"),
    loss("Huber:delta=1.5"),
    loss("LogCosh"),
    loss("Expectile:alpha=0.3"),
    loss("LogLinQuantile:alpha=0.6", target="positive", kind=EXPONENT),
    loss("Poisson", "Poisson; pred = Exponent", target="count", kind=EXPONENT),
    loss("Tweedie:variance_power=1.4", "Tweedie; pred = Exponent", target="semicontinuous", kind=EXPONENT),
    loss("Logloss", "Logloss; pred = Probability", target="binary", kind=CHANCE, table=MISSING),
    loss("CrossEntropy", "CrossEntropy; pred = Probability", target="unit", kind=CHANCE),
    loss("MultiClass", "MultiClass; pred = Probability", target="four", kind=CHANCE, table=MISSING),
    loss("MultiClassOneVsAll", "MultiClassOneVsAll; pred = Probability", target="four", kind=CHANCE),
    loss("MultiRMSE", "MultiRMSE: three outputs, a bias each", target="triple", params={"boost_from_average": True}),
    loss("MultiLogloss", "MultiLogloss: labels that do not exclude each other; pred = Probability", target="labels", kind=CHANCE),
    loss("RMSEWithUncertainty", "RMSEWithUncertainty: mean and log of the deviation", kind="RMSEWithUncertainty"),
    loss("MultiQuantile:alpha=0.1,0.5,0.9", "MultiQuantile: three quantiles"),
    loss("QueryRMSE", target="grades"),
    loss("YetiRank", target="grades"),
    Case("lossguide", "Lossguide: trees are not symmetric", {"loss_function": "RMSE", **LOSSGUIDE}, table=MISSING),
    Case("lossguide-multiclass", "Lossguide, four classes", {"loss_function": "MultiClass", **LOSSGUIDE}, target="four", kind=CHANCE),
    Case("lossguide-one-hot", "Lossguide with categories", {"loss_function": "Logloss", **LOSSGUIDE, **ONE_HOT}, target="binary", kind=CHANCE, table={**CATS, **MISSING}),
    Case("depthwise", "Depthwise: trees are not symmetric", {"loss_function": "RMSE", **DEPTHWISE}, table=MISSING),
    Case("depthwise-one-hot", "Depthwise with categories", {"loss_function": "RMSE", **DEPTHWISE, **ONE_HOT}, table={**CATS, **MISSING}),
    Case("nan-min", "nan_mode Min: NaN counts as minus infinity", {"loss_function": "RMSE", "nan_mode": "Min"}, table=MISSING),
    Case("nan-max", "nan_mode Max: NaN counts as plus infinity", {"loss_function": "RMSE", "nan_mode": "Max"}, table=MISSING),
    Case("nan-max-lossguide", "nan_mode Max, trees not symmetric", {"loss_function": "RMSE", "nan_mode": "Max", **LOSSGUIDE}, table=MISSING),
    Case("nan-forbidden", "nan_mode Forbidden", {"loss_function": "RMSE", "nan_mode": "Forbidden"}),
    Case("one-hot", "string categories, all one-hot", {"loss_function": "RMSE", **ONE_HOT}, table={**CATS, **MISSING}),
    Case("one-hot-100", "100 string categories, all one-hot", {"loss_function": "Logloss", **ONE_HOT, "depth": 5, "iterations": 10}, target="binary", kind=CHANCE, table={"codes": 100}),
    Case("one-hot-multiclass", "string categories, four classes", {"loss_function": "MultiClass", **ONE_HOT}, target="four", kind=CHANCE, table=CATS),
    Case("one-hot-digits", "categories whose strings are integers", {"loss_function": "RMSE", **ONE_HOT}, table=CATS, digits=True),
    Case("scale-bias", "scale 0.1 and bias -3.7 set after training", {"loss_function": "RMSE"}, scale=(0.1, -3.7)),
    Case("class-weights", "class weights", {"loss_function": "Logloss", "class_weights": [1, 3.5]}, target="binary", kind=CHANCE),
    Case("string-labels", "class names that are strings", {"loss_function": "MultiClass"}, target="four", kind=CHANCE, labels=["low", "b c", "högh", "42"]),
    Case("ordered", "boosting_type Ordered", {"loss_function": "RMSE", "boosting_type": "Ordered"}),
    Case("plain", "boosting_type Plain, Newton leaves", {"loss_function": "Logloss", "boosting_type": "Plain", "leaf_estimation_method": "Newton", "leaf_estimation_iterations": 3}, target="binary", kind=CHANCE),
    Case("depth-1", "depth 1, 70 trees", {"loss_function": "RMSE", "depth": 1, "iterations": 70}),
    Case("depth-9", "depth 9: indices beyond eight bits", {"loss_function": "RMSE", "depth": 9, "iterations": 2}, table={"rows": 1500}),
    Case("borders-600", "border_count 600", {"loss_function": "RMSE", "border_count": 600, "depth": 6, "iterations": 8}, table={"rows": 1500}),
    Case("ignored-features", "two features ignored: they have no borders", {"loss_function": "RMSE", "ignored_features": [1, 4]}),
    Case("model-shrink", "model_shrink_rate", {"loss_function": "RMSE", "model_shrink_rate": 0.1}),
    Case("early-stopping", "use_best_model: the file is cut at the best iteration", {"loss_function": "RMSE", "learning_rate": 0.9, "iterations": 80, "early_stopping_rounds": 5}),
    Case("ctr", "categories by counters (CTR)", {"loss_function": "Logloss", "one_hot_max_size": 2, "iterations": 5}, target="binary", table=CATS, refuse="ctr"),
    Case("ctr-combinations", "combinations of categories (CTR of two)", {"loss_function": "Logloss", "one_hot_max_size": 2, "max_ctr_complexity": 2, "iterations": 8}, target="binary", table=CATS, refuse="ctr"),
]


def string_category(code, digits):
    if digits:
        return str(int(code))
    return f"value {int(code)}" if code else 'zero "quoted", ü %|'


def rows_of(table, digits=False):
    """Rows as the library gets them: categories as strings, moved to PLACES; and the columns where they are."""
    rows = table.x.tolist()
    for row in rows:
        moved = [string_category(row.pop(), digits) for _ in table.categorical]
        for place, value in zip(PLACES, reversed(moved)):
            row.insert(place, value)
    return rows, list(PLACES[: len(table.categorical)])


def pool(rows, cats, y=None, **more):
    import catboost
    import pandas

    frame = pandas.DataFrame({str(i): [row[i] for row in rows] for i in range(len(rows[0]))})
    return catboost.Pool(frame, y, cat_features=cats, thread_count=1, **more)


def labels(case, table):
    if case.target == "labels":
        y = data.target(table, "triple")
        return (y > np.median(y, axis=0)).astype(int)
    y = data.target(table, case.target)
    return [case.labels[int(v)] for v in y] if case.labels else y


def train(case, table, rows, cats):
    import catboost

    more = {}
    if case.target == "grades":
        more["group_id"] = np.repeat(np.arange(len(rows)), 20)[: len(rows)]
    model = catboost.CatBoost({**BASE, **case.params})
    against = None
    if "early_stopping_rounds" in case.params:
        other = data.plain(seed=99)
        against = pool(other.x.tolist(), [], data.target(other, case.target))
    model.fit(pool(rows, cats, labels(case, table), **more), eval_set=against)
    if case.scale:
        model.set_scale_and_bias(*case.scale)
    return model


def make(case, folder):
    """Trains one case and writes its model and golden file."""
    table = data.make(**case.table)
    rows, cats = rows_of(table, case.digits)
    model = train(case, table, rows, cats)
    # A pool with categories is needed to write the counters; the others do without.
    record.save_catboost(model, folder / FILE, pool=pool(rows, cats) if cats else None)
    golden = goldenfile.Golden(library=record.version("catboost"), model=FILE, format=FORM, note=case.note, features=[], refuse=case.refuse)
    if not case.refuse:
        text = record.model_text(folder / FILE, FORM)
        codes = {c: sorted({row[c] for row in rows}) + ["", "unseen", "nan", "None", "value 1 ", "VALUE 1", "1", "-1", "01", "1.0", "☃"] for c in cats}
        specials = hostile.TINY + hostile.HUGE + hostile.OVERFLOWING + hostile.INFINITE
        golden.features = hostile.rows(rows, walk.load(text, FORM).thresholds(), codes, float32=True, specials=specials)
        answers = record.catboost(model, golden.features, case.kind, cats)
        golden.raw, golden.pred, golden.leaf = answers["raw"], answers["pred"], answers["leaf"]
        record.verify(golden, text)
    goldenfile.write(folder / "golden.txt", golden)


def cases():
    """The cases, named after the major version of the library."""
    import catboost

    return {f"catboost{catboost.__version__.split('.')[0]}-{case.name}": case for case in CASES}

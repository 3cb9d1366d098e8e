# SPDX-License-Identifier: Apache-2.0
"""LightGBM: one case per option that changes what a model file says or how it is walked."""

from dataclasses import dataclass, field

import numpy as np

import data
import goldenfile
import hostile
import record
import walk

BASE = {"num_leaves": 9, "learning_rate": 0.2, "min_data_in_leaf": 5, "num_threads": 1, "deterministic": True, "seed": 3, "verbosity": -1}
FORM, FILE = "lightgbm-text", "model.txt"
# From 2^31 on LightGBM's cast to int is undefined, and an infinity is cast too.
CATEGORY_LIMIT = 2.0**31


@dataclass
class Case:
    name: str
    note: str
    params: dict
    target: str = "real"
    table: dict = field(default_factory=dict)  # arguments of data.make
    rounds: int = 10
    names: list | None = None
    adjust: dict = field(default_factory=dict)  # changes to the data, see training_data
    frame: bool = False  # train from a pandas frame with string categories
    custom: bool = False  # a custom objective
    valid: bool = False  # early stopping on a second set
    save: dict = field(default_factory=dict)  # arguments of save_model
    since: int = 4  # oldest major version of the library that the case is made with


MISSING = {"missing": True}
CATS = {"codes": 12}
LINEAR = {"linear_tree": True, "num_leaves": 6}

CASES = [
    Case("regression", "regression (L2), no missing values", {"objective": "regression"}, since=2),
    Case("regression-missing", "missing type NaN, default left and right", {"objective": "regression"}, table=MISSING, since=2),
    Case("regression-sqrt", "reg_sqrt: the prediction is sign(x) x squared", {"objective": "regression", "reg_sqrt": True}),
    Case("regression-l1", "objective regression_l1, leaves refitted to medians", {"objective": "regression_l1"}),
    Case("huber", "objective huber", {"objective": "huber", "alpha": 0.7}),
    Case("fair", "objective fair", {"objective": "fair", "fair_c": 1.5}),
    Case("quantile", "objective quantile", {"objective": "quantile", "alpha": 0.8}),
    Case("mape", "objective mape", {"objective": "mape"}, target="positive"),
    Case("poisson", "objective poisson: exp", {"objective": "poisson"}, target="count"),
    Case("gamma", "objective gamma: exp", {"objective": "gamma"}, target="positive"),
    Case("tweedie", "objective tweedie: exp", {"objective": "tweedie", "tweedie_variance_power": 1.3}, target="semicontinuous"),
    Case("binary", "objective binary, sigmoid 1", {"objective": "binary"}, target="binary", table=MISSING, since=2),
    Case("binary-sigmoid", "objective binary sigmoid:2.3", {"objective": "binary", "sigmoid": 2.3}, target="binary"),
    Case("binary-unbalance", "is_unbalance", {"objective": "binary", "is_unbalance": True}, target="binary"),
    Case("binary-weighted", "scale_pos_weight, no boost_from_average", {"objective": "binary", "scale_pos_weight": 2.5, "boost_from_average": False}, target="binary"),
    Case("binary-one-class", "only one class in training: a constant tree", {"objective": "binary"}, target="ones"),
    Case("multiclass", "softmax of four", {"objective": "multiclass", "num_class": 4}, target="four", table=MISSING, rounds=8, since=2),
    Case("multiclass-gap", "a class that never occurs has constant trees", {"objective": "multiclass", "num_class": 4}, target="gap", rounds=6),
    Case("multiclassova", "one against all, sigmoid 1.4", {"objective": "multiclassova", "num_class": 4, "sigmoid": 1.4}, target="four", rounds=8),
    Case("cross-entropy", "objective cross_entropy: logistic", {"objective": "cross_entropy"}, target="unit"),
    Case("cross-entropy-lambda", "objective cross_entropy_lambda: log1p(exp x)", {"objective": "cross_entropy_lambda"}, target="unit"),
    Case("lambdarank", "objective lambdarank", {"objective": "lambdarank"}, target="grades"),
    Case("rank-xendcg", "objective rank_xendcg", {"objective": "rank_xendcg"}, target="grades"),
    Case("custom", "custom objective: the file names none", {}, custom=True),
    Case("dart", "boosting dart", {"objective": "binary", "boosting": "dart", "drop_rate": 0.4}, target="binary", since=2),
    Case("dart-multiclass", "boosting dart, four classes", {"objective": "multiclass", "num_class": 4, "boosting": "dart", "drop_rate": 0.4}, target="four", rounds=6),
    Case("rf", "boosting rf: average_output", {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "feature_fraction": 0.8}, since=2),
    Case("rf-binary", "boosting rf, binary", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, target="binary"),
    Case("rf-multiclass", "boosting rf, four classes: every class is averaged", {"objective": "multiclass", "num_class": 4, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, target="four", rounds=7),
    Case("goss", "data_sample_strategy goss", {"objective": "regression", "data_sample_strategy": "goss", "top_rate": 0.3}),
    Case("zero-as-missing", "missing type Zero", {"objective": "regression", "zero_as_missing": True}, table=MISSING, since=2),
    Case("no-missing-handling", "use_missing=false: NaN is read as 0", {"objective": "regression", "use_missing": False}, table=MISSING, since=2),
    Case("linear", "linear_tree", {"objective": "regression", **LINEAR}, rounds=8, since=3),
    Case("linear-missing", "linear_tree, NaN in a used feature falls back to the leaf value", {"objective": "regression", **LINEAR}, table=MISSING, rounds=8),
    Case("linear-binary", "linear_tree, binary", {"objective": "binary", "linear_lambda": 0.5, **LINEAR}, target="binary", rounds=8),
    Case("linear-categorical", "linear_tree with categorical splits", {"objective": "regression", **LINEAR}, table={**CATS, **MISSING}, rounds=8),
    Case("categorical", "12 and 3 categories", {"objective": "regression", "min_data_per_group": 5, "cat_smooth": 1}, table={**CATS, **MISSING}, since=2),
    Case("categorical-one-hot", "max_cat_to_onehot: one category against the rest", {"objective": "regression", "max_cat_to_onehot": 20, "cat_smooth": 1}, table=CATS),
    Case("categorical-50", "50 categories: sets of two words", {"objective": "binary", "min_data_per_group": 2, "cat_smooth": 1, "max_cat_threshold": 64}, target="binary", table={"codes": 50}),
    Case("categorical-100", "100 categories: sets of four words", {"objective": "regression", "min_data_per_group": 2, "cat_smooth": 1, "max_cat_threshold": 128}, table={"codes": 100}),
    Case("categorical-large-codes", "codes up to 1,463: long sets", {"objective": "regression", "min_data_per_group": 2, "cat_smooth": 1}, table={"codes": 12}, adjust={"code_scale": 133}),
    Case("categorical-negative", "negative codes in training count as missing", {"objective": "regression", "min_data_per_group": 2, "cat_smooth": 1}, table={"codes": 12}, adjust={"code_shift": -3}),
    Case("categorical-multiclass", "categories and softmax", {"objective": "multiclass", "num_class": 4, "min_data_per_group": 5, "cat_smooth": 1}, target="four", table=CATS, rounds=5),
    Case("pandas-categories", "pandas_categorical: strings, here as the codes LightGBM sees", {"objective": "regression", "min_data_per_group": 5, "cat_smooth": 1}, table={**CATS, **MISSING}, frame=True),
    Case("deep", "255 leaves, unbalanced, depth beyond 20", {"objective": "regression", "num_leaves": 255, "min_data_in_leaf": 1, "learning_rate": 0.5}, table={"rows": 1500}, rounds=2),
    Case("stumps", "two leaves a tree, 130 trees", {"objective": "binary", "num_leaves": 2}, target="binary", rounds=130),
    Case("max-depth", "max_depth 3", {"objective": "regression", "max_depth": 3, "num_leaves": 8}, table=MISSING),
    Case("constant", "no split is possible: one constant tree", {"objective": "regression", "min_data_in_leaf": 10000}),
    Case("constant-multiclass", "constant trees, four classes", {"objective": "multiclass", "num_class": 4, "min_data_in_leaf": 10000}, target="four"),
    Case("constant-average", "boosting rf with constant trees", {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "min_data_in_leaf": 10000}),
    Case("monotone", "monotone constraints", {"objective": "regression", "monotone_constraints": [1, 1, -1, 0, 0, 0], "monotone_constraints_method": "advanced"}, table=MISSING),
    Case("extra-trees", "extra_trees, feature_fraction_bynode", {"objective": "regression", "extra_trees": True, "feature_fraction_bynode": 0.6}, table=MISSING),
    Case("max-bin", "max_bin 1000: more than 255 cuts on a feature", {"objective": "regression", "max_bin": 1000, "min_data_in_bin": 1, "min_data_in_leaf": 1, "num_leaves": 31}, target="wave", table={"rows": 1500}, rounds=19),
    Case("wide", "400 features, most of them used", {"objective": "binary", "num_leaves": 31, "feature_fraction": 0.3, "min_data_in_leaf": 2}, target="binary", table={"columns": 400}, rounds=17),
    Case("few-bins", "max_bin 8: trees share thresholds", {"objective": "regression", "max_bin": 8}, table=MISSING, rounds=20),
    Case("names", "feature names with spaces, equal signs and UTF-8", {"objective": "regression"}, names=["a b", "k=v", "höhe", "温度", "Tree=0", "x.y/z%"]),
    Case("early-stopping", "early stopping; saved up to best_iteration", {"objective": "regression", "learning_rate": 0.5}, rounds=60, valid=True),
    Case("num-iteration", "saved with start_iteration 2 and num_iteration 5", {"objective": "multiclass", "num_class": 4}, target="four", rounds=10, save={"start_iteration": 2, "num_iteration": 5}),
    Case("large-scale", "huge targets: leaves near 1e12", {"objective": "regression"}, table=MISSING, adjust={"target_scale": 1e12}),
    Case("tiny-scale", "tiny targets: leaves near 1e-12", {"objective": "regression"}, table=MISSING, adjust={"target_scale": 1e-12}),
    Case("near-zero", "thresholds around the zero threshold of 1e-35", {"objective": "regression", "min_data_in_bin": 1}, adjust={"first_scale": 1e-35}),
    Case("infinite-values", "infinities in training: a threshold of minus the largest double", {"objective": "regression"}, adjust={"infinite": True}),
    Case("unused-features", "constant columns: feature_infos none", {"objective": "regression"}, adjust={"constant": (1, 4)}, table=MISSING),
]


def training_data(case):
    """The table as the library gets it, and its target."""
    table = data.make(**case.table)
    adjust = case.adjust
    y = data.target(table, case.target) * adjust.get("target_scale", 1)
    table.x[:, 0] *= adjust.get("first_scale", 1)
    if table.categorical:
        c = table.categorical[0]
        table.x[:, c] = table.x[:, c] * adjust.get("code_scale", 1) + adjust.get("code_shift", 0)
    if adjust.get("infinite"):
        top, bottom = table.x[:, 0] > 1.5, table.x[:, 0] < -1.5
        table.x[top, 0], table.x[bottom, 0] = np.inf, -np.inf
        y = y + 3.0 * top - 2.0 * bottom
    for c in adjust.get("constant", ()):
        table.x[:, c] = 5.0
    return table, y


def string_frame(table):
    """A pandas frame whose categorical columns hold strings; its categories are in an order of their own."""
    import pandas

    frame = pandas.DataFrame(table.x, columns=[f"c{i}" for i in range(table.x.shape[1])])
    for c in table.categorical:
        values = [f"value {int(v)}" if v else 'zero "quoted", ü' for v in table.x[:, c]]
        order = sorted(set(values), key=lambda v: v[::-1])
        frame[f"c{c}"] = pandas.Categorical(values, categories=order)
        table.x[:, c] = frame[f"c{c}"].cat.codes
    return frame


def squared_error(predictions, dataset):
    difference = predictions - dataset.get_label()
    return difference, difference * 0 + 1.0


def train(case, table, y):
    import lightgbm

    params = {**BASE, **case.params}
    options = {"params": params}
    if case.names:
        options["feature_name"] = case.names
    if table.categorical and not case.frame:
        options["categorical_feature"] = table.categorical
    if case.target == "grades":
        options["group"] = data.groups(len(y))
    dataset = lightgbm.Dataset(string_frame(table) if case.frame else table.x, y, **options)
    more = {}
    if case.custom:
        if lightgbm.__version__ >= "4":
            params["objective"] = squared_error
        else:
            more["fobj"] = squared_error
    if case.valid:
        other = data.plain(seed=99)
        more["valid_sets"] = [lightgbm.Dataset(other.x, data.target(other, case.target), reference=dataset)]
        more["callbacks"] = [lightgbm.early_stopping(3, verbose=False)]
    return lightgbm.train(params, dataset, case.rounds, **more)


def category_codes(model, table):
    """For each categorical column: every code in a set of the model or in training, and odd ones."""
    found = {}
    for c in table.categorical:
        codes = set(model.categories().get(c, ())) | set(table.x[:, c].tolist())
        codes = hostile.spread([float(v) for v in codes if v == v], 60) + hostile.ODD_CATEGORIES + [float("nan"), 31.0, 32.0, 63.0, 64.0, 5000.0, -1e9]
        found[c] = [v for v in dict.fromkeys(codes) if v != v or abs(v) < CATEGORY_LIMIT]
    return found


def make(case, folder):
    """Trains one case and writes its model and golden file."""
    table, y = training_data(case)
    booster = train(case, table, y)
    booster.save_model(str(folder / FILE), **case.save)
    text = record.model_text(folder / FILE, FORM)
    model = walk.load(text, FORM)
    features = hostile.rows(table.x, model.thresholds(), category_codes(model, table), specials=hostile.TINY + hostile.HUGE + hostile.OVERFLOWING + hostile.INFINITE)
    golden = goldenfile.Golden(model=FILE, format=FORM, note=case.note, features=features, **record.lightgbm(folder / FILE, features))
    record.verify(golden, text)
    goldenfile.write(folder / "golden.txt", golden)


def cases():
    """The cases that the installed version can make, named after its major version."""
    import lightgbm

    major = int(lightgbm.__version__.split(".")[0])
    return {f"lightgbm{major}-{case.name}": case for case in CASES if major == 4 or case.since <= major}

# SPDX-License-Identifier: Apache-2.0
"""XGBoost: one case per option that changes what a model file says or how it is walked."""

import base64
from dataclasses import dataclass, field

import data
import goldenfile
import hostile
import record
import walk

BASE = {"max_depth": 3, "eta": 0.3, "nthread": 1, "seed": 3, "tree_method": "hist"}
JSON, UBJSON = "xgboost-json", "xgboost-ubjson"


@dataclass
class Case:
    name: str
    note: str
    params: dict
    target: str = "real"
    table: dict = field(default_factory=dict)  # arguments of data.make
    rounds: int = 8
    form: str = JSON
    names: list | None = None
    types: list | None = None
    frame: str = ""  # train from a pandas frame: "strings" or "integers" as categories
    valid: bool = False  # early stopping on a second set
    keep: tuple = ()  # save only these rounds (start, end)
    missing: float | None = None  # a number that stands for missing in training
    versions: tuple = (1, 2, 3)


MISSING = {"missing": True}
CATS = {"codes": 12}
ONE_HOT = {"max_cat_to_onehot": 32}
SETS = {"max_cat_to_onehot": 2, "max_cat_threshold": 64}
DART = {"booster": "dart", "rate_drop": 0.4, "skip_drop": 0.2}
LINEAR = {"booster": "gblinear", "updater": "coord_descent", "eta": 0.5, "max_depth": None, "tree_method": None}
FOREST = {"num_parallel_tree": 4, "subsample": 0.7, "colsample_bynode": 0.7}
VECTOR = {"multi_strategy": "multi_output_tree"}
SINCE2, SINCE3 = (2, 3), (3,)


def objective(loss, note="", **more):
    """A case that is about its objective alone."""
    label = loss.split(":")[-1]
    params = {"objective": loss, **more.pop("params", {})}
    return Case(more.pop("name", label), note or loss, params, **more)


CASES = [
    objective("reg:squarederror", "reg:squarederror, default directions both ways", table=MISSING),
    objective("reg:squaredlogerror", target="positive"),
    objective("reg:logistic", name="reg-logistic", target="unit"),
    objective("reg:pseudohubererror"),
    objective("reg:absoluteerror"),
    objective("reg:quantileerror", "reg:quantileerror, three alphas: three outputs", target="real", params={"quantile_alpha": [0.1, 0.5, 0.9]}, versions=SINCE2),
    objective("reg:quantileerror", "reg:quantileerror, one alpha", name="quantileerror-one", params={"quantile_alpha": 0.3}, versions=SINCE2),
    objective("reg:gamma", "reg:gamma: exp", target="positive"),
    objective("reg:tweedie", "reg:tweedie: exp", target="semicontinuous", params={"tweedie_variance_power": 1.4}),
    objective("binary:logistic", target="binary", table=MISSING),
    objective("binary:logitraw", target="binary"),
    objective("binary:hinge", "binary:hinge: 0 or 1", target="binary"),
    objective("multi:softprob", target="four", table=MISSING, params={"num_class": 4}, rounds=6),
    objective("multi:softmax", "multi:softmax: the prediction is the class", target="four", params={"num_class": 4}, rounds=6),
    objective("count:poisson", "count:poisson: exp", target="count"),
    objective("survival:cox", "survival:cox: exp", target="positive"),
    objective("survival:aft", "survival:aft: exp", target="positive"),
    objective("rank:pairwise", target="grades"),
    objective("rank:ndcg", target="grades"),
    Case("scale-pos-weight", "scale_pos_weight", {"objective": "binary:logistic", "scale_pos_weight": 2.5}, target="binary"),
    Case("base-score", "base_score set: -3.25", {"objective": "reg:squarederror", "base_score": -3.25}),
    Case("base-score-logistic", "base_score set: 0.1, margin is its logit", {"objective": "binary:logistic", "base_score": 0.1}, target="binary"),
    Case("base-score-poisson", "base_score set: 2.7, margin is its log", {"objective": "count:poisson", "base_score": 2.7}, target="count"),
    Case("base-score-multiclass", "base_score set: 0.7, four classes", {"objective": "multi:softprob", "num_class": 4, "base_score": 0.7}, target="four", rounds=4),
    Case("base-score-zero", "base_score 0, four classes, pruned nodes", {"objective": "multi:softprob", "num_class": 4, "base_score": 0, "tree_method": "exact", "gamma": 1, "max_depth": 5}, target="four", rounds=4),
    Case("dart", "dart: trees are weighted", {"objective": "binary:logistic", **DART}, target="binary", table=MISSING),
    Case("dart-forest", "dart, normalize_type forest, weighted sampling", {"objective": "reg:squarederror", **DART, "normalize_type": "forest", "sample_type": "weighted"}),
    Case("dart-multiclass", "dart, four classes", {"objective": "multi:softprob", "num_class": 4, **DART}, target="four", rounds=6),
    Case("gblinear", "gblinear, missing values are skipped", {"objective": "reg:squarederror", **LINEAR}, table=MISSING, rounds=6),
    Case("gblinear-logistic", "gblinear, binary:logistic", {"objective": "binary:logistic", **LINEAR}, target="binary", rounds=6),
    Case("gblinear-multiclass", "gblinear, four classes", {"objective": "multi:softprob", "num_class": 4, **LINEAR}, target="four", rounds=6),
    Case("random-forest", "num_parallel_tree 8, one round", {"objective": "reg:squarederror", **FOREST, "num_parallel_tree": 8, "eta": 1}, table=MISSING, rounds=1),
    Case("boosted-forest", "num_parallel_tree 4, three rounds, four classes", {"objective": "multi:softprob", "num_class": 4, **FOREST}, target="four", rounds=3),
    Case("categorical-one-hot", "categories, one against the rest", {"objective": "reg:squarederror", **ONE_HOT}, table={**CATS, **MISSING}),
    Case("categorical-sets", "categories, sets", {"objective": "reg:squarederror", **SETS}, table={**CATS, **MISSING}),
    Case("categorical-100", "100 categories, sets of four words", {"objective": "binary:logistic", **SETS, "max_depth": 4}, target="binary", table={"codes": 100}),
    Case("categorical-multiclass", "categories, four classes", {"objective": "multi:softprob", "num_class": 4, **SETS}, target="four", table=CATS, rounds=4),
    Case("categorical-dart", "categories and dart", {"objective": "reg:squarederror", **SETS, **DART}, table=CATS),
    Case("categories-strings", "a pandas frame with string categories: the model file recodes", {"objective": "reg:squarederror", **SETS}, table={**CATS, **MISSING}, frame="strings", versions=SINCE3),
    Case("categories-integers", "a pandas frame with integer categories: the model file recodes", {"objective": "binary:logistic", **SETS}, target="binary", table=CATS, frame="integers", versions=SINCE3),
    Case("multi-target", "two targets, one tree each", {"objective": "reg:squarederror"}, target="pair", table=MISSING, rounds=6),
    Case("vector-leaf", "three targets, vector leaves", {"objective": "reg:squarederror", **VECTOR}, target="triple", table=MISSING, versions=SINCE2),
    Case("vector-leaf-multiclass", "softmax with vector leaves", {"objective": "multi:softprob", "num_class": 4, **VECTOR}, target="four", versions=SINCE2),
    Case("vector-leaf-forest", "vector leaves, num_parallel_tree 3", {"objective": "reg:squarederror", **VECTOR, "num_parallel_tree": 3, "subsample": 0.7}, target="pair", rounds=3, versions=SINCE2),
    Case("exact", "tree_method exact: thresholds between values", {"objective": "reg:squarederror", "tree_method": "exact"}, table=MISSING),
    Case("approx", "tree_method approx", {"objective": "reg:squarederror", "tree_method": "approx"}, table=MISSING),
    Case("pruned", "gamma: pruned nodes stay in the arrays", {"objective": "reg:squarederror", "tree_method": "exact", "gamma": 6, "max_depth": 5}, table=MISSING),
    Case("lossguide", "lossguide, max_depth 0, 24 leaves", {"objective": "reg:squarederror", "grow_policy": "lossguide", "max_depth": 0, "max_leaves": 24, "min_child_weight": 0}, rounds=6),
    Case("depth-12", "max_depth 12", {"objective": "reg:squarederror", "max_depth": 12, "min_child_weight": 0}, rounds=2),
    Case("stumps", "max_depth 1, 100 rounds", {"objective": "binary:logistic", "max_depth": 1}, target="binary", rounds=100),
    Case("constant", "no split is possible: single-leaf trees", {"objective": "reg:squarederror", "gamma": 1e9}, rounds=3),
    Case("max-bin", "max_bin 1000: more than 255 cuts on a feature", {"objective": "reg:squarederror", "max_bin": 1000, "max_depth": 7, "min_child_weight": 0}, target="wave", table={"rows": 1500}, rounds=9),
    Case("wide", "400 features, most of them used", {"objective": "binary:logistic", "max_depth": 6, "colsample_bytree": 0.4, "min_child_weight": 0}, target="binary", table={"columns": 400}, rounds=11, versions=SINCE3),
    Case("names", "feature names and types", {"objective": "reg:squarederror"}, names=["a b", "k=v", "höhe", "温度", 'x"y\\z', "x.y/z%"], types=["q", "float", "int", "q", "q", "q"]),
    Case("early-stopping", "best_iteration in the attributes; Booster.predict uses all rounds", {"objective": "reg:squarederror", "eta": 0.9, "max_depth": 4}, rounds=60, valid=True),
    Case("slice", "rounds 2 to 6 of 8, four classes", {"objective": "multi:softprob", "num_class": 4}, target="four", keep=(2, 6)),
    Case("missing-number", "trained with missing=0; the caller passes NaN", {"objective": "reg:squarederror"}, missing=0.0),
    Case("large-scale", "leaves near 1e12", {"objective": "reg:squarederror", "base_score": 1e12}),
    objective("reg:squarederror", "reg:squarederror, UBJSON", name="ubjson", table=MISSING, form=UBJSON),
    objective("multi:softprob", "multi:softprob, UBJSON", name="ubjson-multiclass", target="four", params={"num_class": 4}, rounds=6, form=UBJSON),
    Case("ubjson-dart", "dart, UBJSON", {"objective": "binary:logistic", **DART}, target="binary", form=UBJSON),
    Case("ubjson-gblinear", "gblinear, UBJSON", {"objective": "binary:logistic", **LINEAR}, target="binary", rounds=6, form=UBJSON),
    Case("ubjson-categorical", "categories, sets, UBJSON", {"objective": "reg:squarederror", **SETS}, table={**CATS, **MISSING}, form=UBJSON),
    Case("ubjson-strings", "string categories, UBJSON", {"objective": "reg:squarederror", **SETS}, table=CATS, frame="strings", form=UBJSON, versions=SINCE3),
    Case("ubjson-vector-leaf", "vector leaves, UBJSON", {"objective": "reg:squarederror", **VECTOR}, target="triple", form=UBJSON, versions=SINCE2),
]

# Of the versions between 1.7 and the newest: what they write in a way of their own.
SHORT = {"squarederror", "logistic", "softprob", "gamma", "quantileerror", "multi-target", "vector-leaf", "vector-leaf-multiclass"}
SHORT |= {"dart", "gblinear-multiclass", "boosted-forest", "categorical-sets", "base-score-poisson", "ubjson", "ubjson-vector-leaf"}

# Before categories existed, the trees have fewer arrays. 1.2 adds the base margin last, so these are cases without one.
FIRST = {"logistic", "dart", "gblinear-multiclass", "base-score-zero"}


def by_value(case, table):
    """The rows with categories by value: strings, or integers spread out."""
    # ASCII only: XGBoost 3.2 measures a name in characters but stores bytes, so others are cut off in the file.
    strings = lambda code: f"value {int(code)}" if code else 'zero "quoted", \\x'
    spell = strings if case.frame == "strings" else lambda code: 7.0 * code + 100
    return [[spell(v) if c in table.categorical else v for c, v in enumerate(row)] for row in table.x.tolist()]


def frame_of(rows, table, known):
    """A pandas frame of rows by value; its categories are the known ones in reverse order."""
    import pandas

    frame = pandas.DataFrame(rows, columns=[f"c{i}" for i in range(len(rows[0]))])
    for c in table.categorical:
        order = [v if isinstance(v, str) else int(v) for v in reversed(known[c])]
        values = [None if v != v else v if isinstance(v, str) else int(v) for v in frame[f"c{c}"]]
        frame[f"c{c}"] = pandas.Categorical(values, categories=order)
    return frame


def known_values(rows, table):
    return {c: sorted({row[c] for row in rows}) for c in table.categorical}


def label(matrix, case, y):
    if case.params["objective"] == "survival:aft":
        matrix.set_float_info("label_lower_bound", y)
        matrix.set_float_info("label_upper_bound", y * 1.5)
    else:
        matrix.set_label(y)
    if case.target == "grades":
        matrix.set_group(data.groups(len(y)))
    return matrix


def column_types(case, table):
    if table.categorical and not case.frame:
        return ["c" if i in table.categorical else "q" for i in range(table.x.shape[1])]
    return case.types


def train(case, table, y):
    import xgboost

    params = {k: v for k, v in {**BASE, **case.params}.items() if v is not None}
    ask = {"nthread": 1, **record.with_categories(table.categorical)}
    if case.missing is not None:
        ask["missing"] = case.missing
    rows = table.x
    if case.frame:
        values = by_value(case, table)
        rows = frame_of(values, table, known_values(values, table))
    else:
        ask |= {"feature_names": case.names, "feature_types": column_types(case, table)}
    more = {}
    if case.valid:
        other = data.plain(seed=99)
        more = {"evals": [(label(xgboost.DMatrix(other.x), case, data.target(other, case.target)), "valid")], "early_stopping_rounds": 3}
    booster = xgboost.train(params, label(xgboost.DMatrix(rows, **ask), case, y), case.rounds, verbose_eval=False, **more)
    return booster[case.keep[0] : case.keep[1]] if case.keep else booster


def save(booster, case, folder):
    if case.form == JSON:
        booster.save_model(str(folder / "model.json"))
        return folder / "model.json"
    raw = bytes(booster.save_raw("ubj"))
    path = folder / "model.ubj.b64"
    path.write_bytes(base64.encodebytes(raw))
    return path


def category_codes(model, table):
    """For each categorical column: every code in a set of the model or in training, and odd ones."""
    found = {}
    for c in table.categorical:
        codes = set(model.categories().get(c, ())) | set(table.x[:, c].tolist())
        odd = hostile.ODD_CATEGORIES + hostile.WIDE_CATEGORIES + [float("nan"), 31.0, 32.0, 63.0, 64.0, 5000.0, -1e9]
        found[c] = list(dict.fromkeys(hostile.spread([float(v) for v in codes], 60) + odd))
    return found


def accepted(rows, matrix):
    """The rows that the library takes; it refuses infinities, for one."""
    import xgboost

    kept = []
    for row in rows:
        try:
            matrix([row])
            kept.append(row)
        except xgboost.core.XGBoostError:
            pass
    return kept


def make(case, folder):
    """Trains one case and writes its model and golden file."""
    import xgboost

    table = data.make(**case.table)
    booster = train(case, table, data.target(table, case.target))
    path = save(booster, case, folder)
    text = record.model_text(path, case.form)
    model = walk.load(text, case.form)
    types = column_types(case, table)
    specials = hostile.TINY + hostile.HUGE + hostile.OVERFLOWING + hostile.INFINITE
    if case.frame:
        rows = by_value(case, table)
        known = known_values(rows, table)
        tries = {c: values + [float("nan")] for c, values in known.items()}
        features = hostile.rows(rows, model.thresholds(), tries, float32=True, specials=record.XGBOOST_SPECIALS, all_nan=False)
        # The categories come in another order than in training: the library must recode them by value.
        order = {c: values[:1] + values[:0:-1] for c, values in known.items()}
        answers = record.xgboost(path, features, case.form, frame=frame_of(features, table, order))
    else:
        ask = {"feature_names": case.names, "feature_types": types, **record.with_categories(table.categorical)}
        features = hostile.rows(table.x, model.thresholds(), category_codes(model, table), float32=True, specials=specials)
        features = accepted(features, lambda rows: xgboost.DMatrix(record.np.array(rows), **ask))
        answers = record.xgboost(path, features, case.form, case.names, types)
    golden = goldenfile.Golden(model=path.name, format=case.form, note=case.note, features=features, **answers)
    record.verify(golden, text)
    goldenfile.write(folder / "golden.txt", golden)


def cases():
    """The cases that the installed version can make, named after its major version; some versions between make a few."""
    import xgboost

    major, minor = (int(part) for part in xgboost.__version__.split(".")[:2])
    prefix, names = f"xgboost{major}", None
    if (major, minor) < (1, 3):
        prefix, names = f"xgboost{major}.{minor}", FIRST
    elif (2, 0) <= (major, minor) < (3, 1):
        prefix, names = "xgboost3.0" if major == 3 else "xgboost2", SHORT
    chosen = [case for case in CASES if major in case.versions and (names is None or case.name in names)]
    return {f"{prefix}-{case.name}": case for case in chosen}

# SPDX-License-Identifier: Apache-2.0
"""scikit-learn, LightGBM and XGBoost models converted to ONNX, and graphs written by hand; ONNX Runtime gives the answers."""

import base64
import math
import warnings
from dataclasses import dataclass

import numpy as np

import data
import goldenfile
import hostile
import record

FORM, FILE = "onnx", "model.onnx.b64"
ENSEMBLES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble", "LinearClassifier", "LinearRegressor")
TREES = ENSEMBLES[:3]
FLOAT, INT64, STRING, DOUBLE = 1, 7, 8, 11
CITIES = ["Bern", "Zürich", "", "a|b c", "Genève"]
POSTS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


@dataclass
class Made:
    """A trained and converted model with rows that it could have seen."""

    model: object  # onnx.ModelProto
    rows: list
    predict: object = None  # rows -> what the library itself answers
    answer: str = ""  # the name of that library


@dataclass
class Case:
    name: str
    note: str
    make: object
    # Linear scores are sums in the order of the processor; Exp, Sigmoid and Softmax are the runtime's approximations.
    tolerance: float = 0
    refuse: bool = False  # the loader must refuse the model


# --- Converters --------------------------------------------------------------------------------------------


def plain_numbers(value):
    """Integers of numpy as those of Python: onnx takes no others in lists."""
    if isinstance(value, (list, tuple)):
        return [plain_numbers(item) for item in value]
    return int(value) if isinstance(value, (bool, np.integer, np.bool_)) else value


def patch_onnx():
    import onnx

    original = onnx.helper.make_attribute
    if getattr(original, "patched", False):
        return

    def make_attribute(key, value, *rest, **named):
        return original(key, plain_numbers(value), *rest, **named)

    make_attribute.patched = True
    onnx.helper.make_attribute = make_attribute


def convert(model, types, **more):
    import skl2onnx

    patch_onnx()
    register_boosters()
    if hasattr(model, "predict_proba"):
        more.setdefault("options", {"zipmap": False})
    more.setdefault("target_opset", {"": 17, "ai.onnx.ml": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = skl2onnx.convert_sklearn(model, initial_types=types, **more)
        made.graph.name = "model"  # onnxmltools makes one up each time
        return as_runtime(made)


def as_runtime(model):
    """Regressors answer floats; skl2onnx declares doubles where the input is of doubles."""
    for node in model.graph.node:
        for output in model.graph.output:
            if node.op_type == "TreeEnsembleRegressor" and output.name == node.output[0]:
                output.type.tensor_type.elem_type = FLOAT
    return model


def register_boosters():
    """LightGBM and XGBoost by the converters of onnxmltools."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes

    try:
        import lightgbm
        import xgboost
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    except ImportError:
        return
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    for classifier, regressor, converter, name in (
        (lightgbm.LGBMClassifier, lightgbm.LGBMRegressor, convert_lightgbm, "LightGbm"),
        (xgboost.XGBClassifier, xgboost.XGBRegressor, convert_xgboost, "XGBoost"),
    ):
        update_registered_converter(classifier, f"{name}Classifier", calculate_linear_classifier_output_shapes, converter, options=options)
        update_registered_converter(regressor, f"{name}Regressor", calculate_linear_regressor_output_shapes, converter, options={"split": None})


def tensor_type(element, columns):
    from skl2onnx.common import data_types

    kinds = {FLOAT: data_types.FloatTensorType, DOUBLE: data_types.DoubleTensorType, INT64: data_types.Int64TensorType, STRING: data_types.StringTensorType}
    return kinds[element]([None, columns])


def trained(estimator, target, answer="predict", element=FLOAT, missing=False, libname="scikit-learn", labels=None, **more):
    """An estimator on the plain table of six numeric columns, converted with one tensor input."""

    def make():
        table = data.make(missing=missing)
        x = table.x.astype(np.float32).astype(np.float64)
        y = data.target(table, target)
        if labels:
            y = np.array(labels)[np.asarray(y, dtype=int)]
        model = estimator()
        model.fit(x, y)
        onnx_model = convert(model, [("X", tensor_type(element, x.shape[1]))], **more)
        return Made(onnx_model, x.tolist(), lambda rows: getattr(model, answer)(rows), libname)

    return make


def sk(module, name, **params):
    """A constructor of scikit-learn, looked up when it is called."""

    def make():
        import importlib

        return getattr(importlib.import_module(f"sklearn.{module}"), name)(**params)

    return make


def other(library, name, **params):
    def make():
        import importlib

        return getattr(importlib.import_module(library), name)(**params)

    return make


# --- Pipelines ---------------------------------------------------------------------------------------------


def mixed_frame(missing):
    """Two numeric columns, two of strings and one of integers, a named input each."""
    import pandas

    table = data.make(missing=missing)
    n = len(table.x)
    return table, pandas.DataFrame(
        {
            "age": table.x[:, 0].astype(np.float32).astype(float),
            "income": table.x[:, 4].astype(np.float32).astype(float),
            "city": np.array(CITIES[:4])[np.arange(n) % 4],
            "sex": np.array(["f", "m"])[(np.arange(n) // 3) % 2],
            "rooms": (np.arange(n) // 2) % 6,
        }
    )


MIXED_TYPES = [("age", FLOAT), ("income", FLOAT), ("city", STRING), ("sex", STRING), ("rooms", INT64)]


def column_pipeline(estimator, target="four", missing=True, ordinal=False):
    def make():
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

        table, frame = mixed_frame(missing)
        numeric = Pipeline([("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
        words = OrdinalEncoder() if ordinal else OneHotEncoder(handle_unknown="ignore")
        columns = ColumnTransformer([("numeric", numeric, ["age", "income"]), ("words", words, ["city", "sex"]), ("whole", "passthrough", ["rooms"])])
        model = Pipeline([("columns", columns), ("model", estimator())]).fit(frame, data.target(table, target))
        answer = model.predict_proba if hasattr(model, "predict_proba") else model.predict
        onnx_model = convert(model, [(name, tensor_type(element, 1)) for name, element in MIXED_TYPES])
        rows = frame.values.tolist()

        def predict(asked):
            import pandas

            return answer(pandas.DataFrame({c: [row[i] for row in asked] for i, c in enumerate(frame.columns)}))

        return Made(onnx_model, rows, predict, "scikit-learn")

    return make


def scaled(*steps, target="real", answer="predict", missing=False):
    """A pipeline of transformers on the plain table, then an estimator."""

    def make():
        from sklearn.pipeline import make_pipeline

        table = data.make(missing=missing)
        x = table.x.astype(np.float32).astype(np.float64)
        model = make_pipeline(*(step() for step in steps)).fit(x, data.target(table, target))
        onnx_model = convert(model, [("X", tensor_type(FLOAT, x.shape[1]))])
        return Made(onnx_model, x.tolist(), lambda rows: getattr(model, answer)(rows), "scikit-learn")

    return make


def lightgbm_categories(rows_target="real"):
    def make():
        import lightgbm

        table = data.make(codes=12, missing=True)
        x = table.x.astype(np.float32).astype(np.float64)
        model = lightgbm.LGBMRegressor(n_estimators=5, num_leaves=8, verbose=-1, num_threads=1, deterministic=True, force_row_wise=True, min_data_per_group=5, cat_smooth=1)
        model.fit(x, data.target(table, rows_target), categorical_feature=table.categorical)
        onnx_model = convert(model, [("X", tensor_type(FLOAT, x.shape[1]))])
        # Where a category is missing or unknown the converter follows other rules than LightGBM; the runtime decides.
        return Made(onnx_model, x.tolist(), lambda rows: model.predict(rows), "LightGBM")

    return make


# --- Graphs by hand ----------------------------------------------------------------------------------------


def graph(nodes, inputs, outputs, ml=3, opset=17, initialisers=()):
    from onnx import helper

    return helper.make_model(
        helper.make_graph(
            nodes,
            "hand",
            [helper.make_tensor_value_info(name, element, [None, columns]) for name, element, columns in inputs],
            [helper.make_tensor_value_info(name, element, None) for name, element in outputs],
            list(initialisers),
        ),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)],
        ir_version=8 if ml < 5 else 10,
        producer_name="hand",
    )


def numbers(values, kind, name="t"):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def random_tree(rng, depth, columns, modes):
    """A random tree as nested tuples: (mode, feature, value, tracks, true, false) or a leaf number."""
    if depth == 0 or rng.random() < 0.15:
        return None
    mode = modes[rng.integers(len(modes))]
    value = float(rng.integers(-3, 6)) / 2
    return (mode, int(rng.integers(columns)), value, int(rng.integers(2)), random_tree(rng, depth - 1, columns, modes), random_tree(rng, depth - 1, columns, modes))


def random_rows(rng, columns, count=60):
    return (rng.integers(-6, 12, size=(count, columns)) / 4).tolist()


def version3(kind, targets, seed=1, trees=6, depth=4, modes=("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"), weights=(-1, 1), ids="all", doubles=False, element=FLOAT, classes=None, columns=4, **attributes):
    """TreeEnsembleClassifier or Regressor of random trees. ids: the targets of a leaf: all, one (that of its tree), some, or a number."""

    def make():
        from onnx import helper

        rng = np.random.default_rng(seed)
        a = {key: [] for key in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")}
        w = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}

        def add(tree, node):
            """Appends a node and all below it; returns its number."""
            at = number = len(a["nodeids"])
            for key, value in zip(a, (tree, number, 0, "LEAF", 0.0, 0, 0, 0)):
                a[key].append(value)
            if node is None:
                chosen = {"all": range(targets), "one": [tree % targets], "some": [t for t in range(targets) if rng.random() < 0.5] or [0]}.get(ids, [ids])
                for target in chosen:
                    for key, value in zip(w, (tree, number, target, float(np.float32(rng.uniform(*weights))) if not doubles else float(rng.uniform(*weights)))):
                        w[key].append(value)
                return number
            a["modes"][at], a["featureids"][at], a["values"][at], a["missing_value_tracks_true"][at] = node[0], node[1], node[2] if not doubles else node[2] + 0.1, node[3]
            a["falsenodeids"][at] = add(tree, node[5])
            a["truenodeids"][at] = add(tree, node[4])
            return number

        for tree in range(trees):
            add(tree, random_tree(rng, depth, columns, modes) or ("BRANCH_LEQ", 0, 0.5, 0, None, None))
        classifier = kind == "Classifier"
        # Numbers descend and start anywhere: nothing says that they are 0, 1, 2 in each tree.
        last = len(a["nodeids"]) - 1
        for key in ("nodeids", "truenodeids", "falsenodeids"):
            a[key] = [last - number for number in a[key]]
        w["nodeids"] = [last - number for number in w["nodeids"]]
        named = {f"nodes_{key}": value for key, value in a.items()}
        named.update({f"{'class' if classifier else 'target'}_{key}": value for key, value in w.items()})
        if doubles:
            for key in ("nodes_values", f"{'class' if classifier else 'target'}_weights"):
                named[f"{key}_as_tensor"] = numbers(named.pop(key), np.float64, key)
        if classifier:
            named["classlabels_strings" if isinstance((classes or [0])[0], str) else "classlabels_int64s"] = classes or list(range(targets))
        else:
            named["n_targets"] = targets
        outputs = ["label", "scores"] if classifier else ["scores"]
        node = helper.make_node(f"TreeEnsemble{kind}", ["X"], outputs, domain="ai.onnx.ml", **{**named, **attributes})
        label = [("label", STRING if classes and isinstance(classes[0], str) else INT64)] if classifier else []
        return Made(graph([node], [("X", element, columns)], label + [("scores", FLOAT)]), random_rows(rng, columns))

    return make


def chain():
    """An equality chain whose links share their true branch, as converters of categories write it."""
    from onnx import helper

    values = [1.0, 4.0, 2.0, 7.0]
    count = len(values)
    nodes = dict(
        nodes_treeids=[0] * (count + 2),
        nodes_nodeids=list(range(count + 2)),
        nodes_featureids=[0] * (count + 2),
        nodes_modes=["BRANCH_EQ"] * count + ["LEAF"] * 2,
        nodes_values=values + [0.0, 0.0],
        nodes_truenodeids=[count] * count + [0, 0],
        nodes_falsenodeids=[*range(1, count), count + 1, 0, 0],
        nodes_missing_value_tracks_true=[1, 1, 1, 1, 0, 0],
    )
    weights = dict(target_treeids=[0, 0], target_nodeids=[count, count + 1], target_ids=[0, 0], target_weights=[1.5, -2.5])
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, **nodes, **weights)
    return Made(graph([node], [("X", FLOAT, 2)], [("Y", FLOAT)]), [[v, 0.0] for v in (0, 1, 2, 3, 4, 5, 6, 7, 8)])


def version5(kind=np.float32, members=True, targets=1, seed=3, trees=5, depth=4, **attributes):
    """TreeEnsemble of opset 5: all modes, sets of members among them."""

    def make():
        from onnx import helper

        rng = np.random.default_rng(seed)
        modes = range(7) if members else range(4)
        lists = {key: [] for key in ("featureids", "modes", "splits", "truenodeids", "trueleafs", "falsenodeids", "falseleafs", "missing_value_tracks_true")}
        sets, leaf_targets, leaf_weights, roots = {}, [], [], []

        def leaf():
            leaf_targets.append(int(rng.integers(targets)))
            leaf_weights.append(float(rng.uniform(-1, 1)))
            return len(leaf_weights) - 1

        def add(node):
            at = len(lists["modes"])
            for key, value in zip(lists, (node[1], node[0], node[2], 0, 0, 0, 0, node[3])):
                lists[key].append(value)
            if node[0] == 6:
                # Whole numbers: for others ONNX Runtime 1.31 takes 1.5 for a member of {1, 31, 32}.
                sets[at] = sorted({float(v) for v in rng.integers(0, 6, size=3)})
            for side, child in (("true", node[4]), ("false", node[5])):
                lists[f"{side}leafs"][at] = int(child is None)
                lists[f"{side}nodeids"][at] = leaf() if child is None else add(child)
            return at

        for _ in range(trees):
            roots.append(add(random_tree(rng, depth, 4, list(modes)) or (0, 0, 0.5, 0, None, None)))
        values = []
        for at in sorted(sets):
            values += sets[at] + [math.nan]
        named = {f"nodes_{key}": value for key, value in lists.items()}
        named["nodes_modes"] = numbers(named["nodes_modes"], np.uint8, "modes")
        named["nodes_splits"] = numbers(named["nodes_splits"], kind, "splits")
        if values:
            named["membership_values"] = numbers(values, kind, "members")
        named.update(tree_roots=roots, leaf_targetids=leaf_targets, leaf_weights=numbers(leaf_weights, kind, "weights"), n_targets=targets)
        element = FLOAT if kind == np.float32 else DOUBLE
        node = helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", **named, **attributes)
        return Made(graph([node], [("X", element, 4)], [("Y", element)], ml=5), (rng.integers(-1, 7, size=(60, 4))).astype(float).tolist())

    return make


def encoders():
    """LabelEncoder of strings and of numbers, FeatureVectorizer, Normalizer and Binarizer before a tree."""
    from onnx import helper

    tree = version3("Regressor", 1, seed=8, columns=4)()
    words = helper.make_node("LabelEncoder", ["word"], ["code"], domain="ai.onnx.ml", keys_strings=CITIES[:3], values_floats=[0.5, 1.5, -1.0], default_float=7.0)
    whole = helper.make_node("LabelEncoder", ["whole"], ["mapped"], domain="ai.onnx.ml", keys_int64s=[1, 2, 30], values_floats=[1.0, 0.25, -0.5], default_float=0.75)
    scaled_node = helper.make_node("Normalizer", ["pair"], ["unit"], domain="ai.onnx.ml", norm="L2")
    join = helper.make_node("Concat", ["code", "mapped", "unit"], ["all"], axis=1)
    forest = tree.model.graph.node[0]
    forest.input[0] = "all"
    model = graph([words, whole, scaled_node, join, forest], [("word", STRING, 1), ("whole", INT64, 1), ("pair", FLOAT, 2)], [("scores", FLOAT)])
    rng = np.random.default_rng(2)
    rows = [[CITIES[i % 4], int(rng.integers(0, 4)) if i % 5 else 30, *(rng.integers(-6, 12, size=2) / 4).tolist()] for i in range(50)]
    return Made(model, rows)


def encoded_missing():
    """LabelEncoder of floats with a key for missing values; its answers are looked up once more, as strings and back."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("LabelEncoder", ["X"], ["codes"], domain="ai.onnx.ml", keys_floats=[0.5, 1.0, math.nan], values_floats=[10.0, 20.0, 30.0], default_float=-1.0),
        node("LabelEncoder", ["codes"], ["names"], domain="ai.onnx.ml", keys_floats=[10.0, 30.0], values_strings=["ten", "thirty"], default_string="other"),
        node("LabelEncoder", ["names"], ["lengths"], domain="ai.onnx.ml", keys_strings=["ten", "thirty", "other"], values_floats=[3.0, 6.0, 5.0]),
        node("OneHotEncoder", ["names"], ["hot"], domain="ai.onnx.ml", cats_strings=["thirty", "ten"]),
        node("Reshape", ["hot", "flat"], ["hot columns"]),
        node("Concat", ["codes", "lengths", "hot columns"], ["Y"], axis=1),
    ]
    model = graph(nodes, [("X", FLOAT, 2)], [("Y", FLOAT)], ml=4, initialisers=[numbers([-1, 4], np.int64, "flat")])
    return Made(model, [[a / 2, b / 2] for a in range(-1, 4) for b in range(3)])


def after():
    """Arithmetic after an ensemble: what converters write for other objectives."""
    from onnx import helper

    tree = version3("Regressor", 3, seed=12, columns=4)().model
    forest = tree.graph.node[0]
    nodes = [
        forest,
        helper.make_node("Mul", ["scores", "two"], ["twice"]),
        helper.make_node("Add", ["twice", "shift"], ["moved"]),
        helper.make_node("Max", ["moved", "zero"], ["positive"]),
        helper.make_node("ReduceSum", ["positive", "axis"], ["total"], keepdims=1),
        helper.make_node("Div", ["positive", "total"], ["shares"]),
        helper.make_node("ArgMax", ["shares"], ["place"], axis=1, keepdims=1),
        helper.make_node("ArrayFeatureExtractor", ["names", "place"], ["name"], domain="ai.onnx.ml"),
        helper.make_node("Reshape", ["name", "flat"], ["label"]),
    ]
    constants = [numbers([2.0], np.float32, "two"), numbers([[0.5, 1.0, 1.5]], np.float32, "shift"), numbers([0.0], np.float32, "zero"), numbers([1], np.int64, "axis"), numbers([-1], np.int64, "flat")]
    constants.append(helper.make_tensor("names", STRING, [3], [b"low", b"middle", b"high"]))
    model = graph(nodes, [("X", FLOAT, 4)], [("label", STRING), ("shares", FLOAT)], initialisers=constants)
    return Made(model, random_rows(np.random.default_rng(5), 4))


def operators():
    """Operators that no converter above writes, in one graph."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("Transpose", ["X"], ["same"], perm=[0, 1]),
        node("Gather", ["same", "columns"], ["picked"], axis=1),
        node("Softmax", ["picked"], ["soft"], axis=1),
        node("Shape", ["soft"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["zeros"]),
        node("Equal", ["picked", "one"], ["ones"]),
        node("Where", ["ones", "soft", "zeros"], ["chosen"]),
        node("Gemm", ["chosen", "matrix", "row"], ["product"], transB=1),
        node("ReduceMean", ["product"], ["mean"], axes=[1], keepdims=0),
        node("Unsqueeze", ["mean", "first"], ["mean column"]),
        node("Slice", ["product", "first", "many", "first"], ["rest"]),
        node("Sub", ["rest", "mean column"], ["centred"]),
        node("Clip", ["centred", "low"], ["clipped"]),
        node("Greater", ["X", "one"], ["large"]),
        node("Cast", ["large"], ["large as number"], to=FLOAT),
        node("ReduceSum", ["large as number", "first"], ["how many"], keepdims=1),
        node("Sigmoid", ["X"], ["sigmoid"]),
        node("Sqrt", ["sigmoid"], ["root"]),
        node("Min", ["root", "clipped left"], ["least"]),
        node("Pow", ["least", "two"], ["square"]),
        node("Squeeze", ["mean column", "first"], ["mean again"]),
        node("Reshape", ["mean again", "as column"], ["mean at last"]),
        node("Flatten", ["square"], ["flat"]),
        node("Concat", ["clipped", "how many", "flat", "mean at last"], ["Y"], axis=-1),
    ]
    nodes.insert(18, node("Gather", ["clipped", "zeroth"], ["clipped left"], axis=1))
    constants = [
        numbers([0, 2], np.int64, "columns"),
        numbers([1.0], np.float32, "one"),
        numbers([[1, 2], [3, 4], [5, 6]], np.float32, "matrix"),
        numbers([1, 2, 3], np.float32, "row"),
        numbers([1], np.int64, "first"),
        numbers([99], np.int64, "many"),
        numbers([0], np.int64, "zeroth"),
        numbers(-1, np.float32, "low"),
        numbers([2.0], np.float32, "two"),
        numbers([-1, 1], np.int64, "as column"),
    ]
    model = graph(nodes, [("X", FLOAT, 3)], [("Y", FLOAT)], initialisers=constants)
    return Made(model, random_rows(np.random.default_rng(9), 3))


def ml_operators():
    """Operators of ai.onnx.ml on numbers, on a float and an integer input."""
    from onnx import helper

    def node(op, inputs, output, **attributes):
        return helper.make_node(op, inputs, [output], domain="ai.onnx.ml", **attributes)

    nodes = [
        node("Imputer", ["X"], "filled", imputed_value_floats=[0.5, -0.25, 3.0], replaced_value_float=1.0),
        node("Imputer", ["X"], "known", imputed_value_floats=[7.0], replaced_value_float=math.nan),
        node("Normalizer", ["filled"], "largest", norm="MAX"),
        node("Normalizer", ["filled"], "share", norm="L1"),
        node("Binarizer", ["known"], "sign", threshold=0.5),
        node("Imputer", ["W"], "whole", imputed_value_int64s=[5, 6], replaced_value_int64=-1),
        node("Scaler", ["whole"], "scaled", offset=[0.1], scale=[3.0]),
        node("Normalizer", ["whole"], "length", norm="L2"),
        node("FeatureVectorizer", ["known", "largest", "share", "sign", "scaled", "length"], "floats", inputdimensions=[3, 3, 3, 3, 2, 2]),
        node("FeatureVectorizer", ["whole"], "integers", inputdimensions=[2]),
        helper.make_node("Concat", ["floats", "integers"], ["Y"], axis=1),
    ]
    model = graph(nodes, [("X", FLOAT, 3), ("W", INT64, 2)], [("Y", FLOAT)])
    rng = np.random.default_rng(10)
    return Made(model, [(rng.integers(-3, 6, size=3) / 2).tolist() + rng.integers(-2, 4, size=2).tolist() for _ in range(40)])


def linear_single(post):
    """A LinearClassifier of one score for two classes."""

    def make():
        from onnx import helper

        node = helper.make_node("LinearClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml", coefficients=[0.5, -1.5], intercepts=[0.25], classlabels_strings=["no", "yes"], post_transform=post)
        return Made(graph([node], [("X", FLOAT, 2)], [("label", STRING), ("scores", FLOAT)]), random_rows(np.random.default_rng(11), 2))

    return make


def unknown():
    from onnx import helper

    return Made(graph([helper.make_node("Erf", ["X"], ["Y"], name="odd one")], [("X", FLOAT, 2)], [("Y", FLOAT)]), [])


def stacking():
    from sklearn.ensemble import RandomForestClassifier, StackingClassifier
    from sklearn.tree import DecisionTreeClassifier

    return StackingClassifier([("forest", RandomForestClassifier(2, max_depth=3, random_state=1)), ("tree", DecisionTreeClassifier(max_depth=3, random_state=1))])


def calibrated():
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier

    return CalibratedClassifierCV(RandomForestClassifier(2, max_depth=3, random_state=1), cv=2, method="isotonic")


def one_vs_rest():
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.multiclass import OneVsRestClassifier

    return OneVsRestClassifier(GradientBoostingClassifier(n_estimators=2, max_depth=2, random_state=1))


def whole_columns():
    """OneHotEncoder of integers."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    table, frame = mixed_frame(False)
    frame = frame[["age", "rooms"]]
    columns = ColumnTransformer([("whole", OneHotEncoder(handle_unknown="ignore"), ["rooms"]), ("rest", "passthrough", ["age"])])
    model = Pipeline([("columns", columns), ("model", sk("ensemble", "RandomForestClassifier", **RF)())]).fit(frame, data.target(table, "four"))
    return Made(convert(model, [("age", tensor_type(FLOAT, 1)), ("rooms", tensor_type(INT64, 1))]), frame.values.tolist())


RF = dict(n_estimators=6, max_depth=4, random_state=1)
GB = dict(n_estimators=6, max_depth=3, random_state=1)
HGB = dict(max_iter=6, max_leaf_nodes=8, random_state=1, early_stopping=False)
LGB = dict(n_estimators=6, num_leaves=8, verbose=-1, num_threads=1, deterministic=True, force_row_wise=True)
XGB = dict(n_estimators=6, max_depth=3, nthread=1)
PROBA = "predict_proba"
STRINGS = ["low", "b c", "högh", "42"]


def forest_case(name, note, estimator, target, **more):
    tolerance = more.pop("tolerance", 0)
    return Case(f"sklearn1-{name}", note, trained(estimator, target, **more), tolerance)


CASES = [
    forest_case("rf-binary", "RandomForestClassifier, two classes", sk("ensemble", "RandomForestClassifier", **RF), "binary", answer=PROBA),
    forest_case("rf-multiclass", "RandomForestClassifier, four classes", sk("ensemble", "RandomForestClassifier", **RF), "four", answer=PROBA),
    forest_case("rf-string-labels", "RandomForestClassifier, classes are strings", sk("ensemble", "RandomForestClassifier", **{**RF, "n_estimators": 3}), "four", answer=PROBA, labels=STRINGS),
    forest_case("rf-zipmap", "RandomForestClassifier with ZipMap", sk("ensemble", "RandomForestClassifier", **{**RF, "n_estimators": 3}), "four", answer=PROBA, options={}),
    forest_case("rf-regressor", "RandomForestRegressor", sk("ensemble", "RandomForestRegressor", **RF), "real"),
    forest_case("rf-regressor-f64", "RandomForestRegressor with a double input and float thresholds", sk("ensemble", "RandomForestRegressor", **RF), "real", element=DOUBLE, target_opset={"": 17, "ai.onnx.ml": 1}),
    forest_case("rf-regressor-f64-tensors", "RandomForestRegressor in doubles (as_tensor)", sk("ensemble", "RandomForestRegressor", **RF), "real", element=DOUBLE),
    forest_case("rf-multi-output", "RandomForestRegressor, three outputs", sk("ensemble", "RandomForestRegressor", **{**RF, "n_estimators": 4}), "triple"),
    forest_case("rf-missing", "RandomForestClassifier that learnt missing values", sk("ensemble", "RandomForestClassifier", **RF), "binary", answer=PROBA, missing=True),
    forest_case("rf-many-trees", "RandomForestRegressor of 130 trees: beyond what ONNX Runtime takes one after the other", sk("ensemble", "RandomForestRegressor", **{**RF, "n_estimators": 130, "max_depth": 2}), "real"),
    forest_case("extra-trees", "ExtraTreesClassifier", sk("ensemble", "ExtraTreesClassifier", **RF), "four", answer=PROBA),
    forest_case("extra-trees-regressor", "ExtraTreesRegressor", sk("ensemble", "ExtraTreesRegressor", **RF), "real"),
    forest_case("gb-regressor", "GradientBoostingRegressor", sk("ensemble", "GradientBoostingRegressor", **GB), "real"),
    forest_case("gb-binary", "GradientBoostingClassifier, two classes: LOGISTIC", sk("ensemble", "GradientBoostingClassifier", **GB), "binary", answer=PROBA),
    forest_case("gb-multiclass", "GradientBoostingClassifier, four classes: SOFTMAX", sk("ensemble", "GradientBoostingClassifier", **GB), "four", answer=PROBA),
    forest_case("hgb-regressor", "HistGradientBoostingRegressor with missing values", sk("ensemble", "HistGradientBoostingRegressor", **HGB), "real", missing=True),
    forest_case("hgb-binary", "HistGradientBoostingClassifier, two classes, with missing values", sk("ensemble", "HistGradientBoostingClassifier", **HGB), "binary", answer=PROBA, missing=True),
    forest_case("hgb-multiclass", "HistGradientBoostingClassifier, four classes", sk("ensemble", "HistGradientBoostingClassifier", **HGB), "four", answer=PROBA),
    forest_case("tree", "DecisionTreeClassifier", sk("tree", "DecisionTreeClassifier", max_depth=5, random_state=1), "four", answer=PROBA),
    forest_case("tree-regressor", "DecisionTreeRegressor", sk("tree", "DecisionTreeRegressor", max_depth=5, random_state=1), "real"),
    forest_case("bagging", "BaggingClassifier: an ensemble for each tree, and their mean", sk("ensemble", "BaggingClassifier", n_estimators=3, random_state=1, estimator=None), "four", answer=PROBA, tolerance=3e-7),
    forest_case("ada-boost", "AdaBoostClassifier: an ensemble for each tree, and arithmetic", sk("ensemble", "AdaBoostClassifier", n_estimators=4, random_state=1), "four", answer=PROBA, tolerance=1e-6),
    forest_case("isolation", "IsolationForest: scores", sk("ensemble", "IsolationForest", n_estimators=3, max_samples=32, random_state=1), "four", tolerance=1e-5),
    forest_case("stacking", "StackingClassifier of a forest and a tree", stacking, "four", answer=PROBA, tolerance=1e-5),
    forest_case("calibrated", "CalibratedClassifierCV of a forest, isotonic: comparisons, Clip and others", calibrated, "binary", answer=PROBA, tolerance=1e-5),
    forest_case("one-vs-rest", "OneVsRestClassifier: an ensemble for each class", one_vs_rest, "four", answer=PROBA, tolerance=1e-5),
    forest_case("logistic-binary", "LogisticRegression, two classes: LinearClassifier", sk("linear_model", "LogisticRegression"), "binary", answer=PROBA, tolerance=1e-5),
    forest_case("logistic-multiclass", "LogisticRegression, four classes: LinearClassifier and Normalizer", sk("linear_model", "LogisticRegression"), "four", answer=PROBA, tolerance=1e-5),
    forest_case("linear", "LinearRegression: LinearRegressor", sk("linear_model", "LinearRegression"), "real", tolerance=1e-5),
    forest_case("linear-multi-output", "LinearRegression, three outputs", sk("linear_model", "LinearRegression"), "triple", tolerance=1e-5),
    forest_case("sgd", "SGDClassifier: MatMul, Exp, Reciprocal and others", sk("linear_model", "SGDClassifier", loss="log_loss", random_state=1), "four", answer=PROBA, tolerance=1e-3),
    Case("sklearn1-columns-rf", "ColumnTransformer: OneHotEncoder of strings, SimpleImputer, StandardScaler, integers; RandomForestClassifier", column_pipeline(sk("ensemble", "RandomForestClassifier", **RF))),
    Case("sklearn1-columns-gb", "the same before a GradientBoostingRegressor", column_pipeline(sk("ensemble", "GradientBoostingRegressor", **GB), target="real")),
    Case("sklearn1-columns-ordinal", "ColumnTransformer with OrdinalEncoder; RandomForestClassifier", column_pipeline(sk("ensemble", "RandomForestClassifier", **RF), ordinal=True)),
    Case("sklearn1-columns-logistic", "ColumnTransformer before a LogisticRegression", column_pipeline(sk("linear_model", "LogisticRegression", max_iter=500)), tolerance=1e-5),
    Case("sklearn1-columns-whole", "OneHotEncoder of integers", whole_columns),
    Case("sklearn1-scalers", "MinMaxScaler, Normalizer and RobustScaler before a forest", scaled(sk("preprocessing", "MinMaxScaler"), sk("preprocessing", "Normalizer"), sk("preprocessing", "RobustScaler"), sk("ensemble", "RandomForestRegressor", **RF))),
    Case("sklearn1-polynomial", "MaxAbsScaler and PolynomialFeatures before a forest", scaled(sk("preprocessing", "MaxAbsScaler"), sk("preprocessing", "PolynomialFeatures", degree=2), sk("ensemble", "RandomForestRegressor", **{**RF, "n_estimators": 3}))),
    Case("lightgbm-onnx-binary", "LightGBM by onnxmltools, two classes", trained(other("lightgbm", "LGBMClassifier", **LGB), "binary", PROBA, missing=True, libname="LightGBM")),
    Case("lightgbm-onnx-multiclass", "LightGBM by onnxmltools, four classes", trained(other("lightgbm", "LGBMClassifier", **{**LGB, "n_estimators": 4}), "four", PROBA, libname="LightGBM")),
    Case("lightgbm-onnx-regressor", "LightGBM by onnxmltools, regression", trained(other("lightgbm", "LGBMRegressor", **LGB), "real", missing=True, libname="LightGBM")),
    Case("lightgbm-onnx-categories", "LightGBM by onnxmltools, categories as equality tests", lightgbm_categories()),
    Case("lightgbm-onnx-poisson", "LightGBM by onnxmltools, poisson: Exp after the ensemble", trained(other("lightgbm", "LGBMRegressor", **{**LGB, "objective": "poisson"}), "count", libname="LightGBM"), tolerance=1e-5),
    Case("xgboost-onnx-binary", "XGBoost by onnxmltools, two classes", trained(other("xgboost", "XGBClassifier", **XGB), "binary", PROBA, missing=True, libname="XGBoost")),
    Case("xgboost-onnx-multiclass", "XGBoost by onnxmltools, four classes", trained(other("xgboost", "XGBClassifier", **{**XGB, "n_estimators": 4}), "four", PROBA, libname="XGBoost")),
    Case("xgboost-onnx-regressor", "XGBoost by onnxmltools, regression", trained(other("xgboost", "XGBRegressor", **XGB), "real", missing=True, libname="XGBoost")),
    Case("onnx-trees-modes", "opset 3, all modes, numbers of nodes that descend", version3("Regressor", 1, modes=("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"), base_values=[0.25])),
    Case("onnx-trees-chain", "an equality chain with a shared true branch", chain),
    Case("onnx-trees-f64", "opset 3, doubles in tensors", version3("Regressor", 2, doubles=True, element=DOUBLE)),
    Case("onnx-trees-average", "AVERAGE of two targets with base values", version3("Regressor", 2, aggregate_function="AVERAGE", base_values=[0.5, -0.125])),
    Case("onnx-trees-min", "MIN of two targets, not scored by every leaf", version3("Regressor", 2, ids="some", aggregate_function="MIN")),
    Case("onnx-trees-unscored-base", "targets that not every row scores, with base values", version3("Regressor", 3, trees=2, ids="one", base_values=[0.5, -0.25, 2.0])),
    Case("onnx-trees-max", "MAX of one target", version3("Regressor", 1, aggregate_function="MAX", base_values=[0.1])),
    Case("onnx-trees-probit", "PROBIT of one target", version3("Regressor", 1, weights=(0, 0.15), post_transform="PROBIT")),
    Case("onnx-trees-softmax", "SOFTMAX of three targets", version3("Regressor", 3, post_transform="SOFTMAX")),
    Case("onnx-trees-few-scored", "classes that not every leaf scores, no base values", version3("Classifier", 3, trees=2, ids="some", post_transform="SOFTMAX_ZERO")),
    Case("onnx-trees-some-scored-base", "the same with base values", version3("Classifier", 3, trees=2, ids="some", base_values=[0.2, -0.1, 0.1], post_transform="LOGISTIC")),
    Case("onnx-trees-int64", "opset 3 classifier with integer inputs", version3("Classifier", 3, element=INT64, classes=["x", "y", "z"])),
]
for number, (ids, weights, base, post) in enumerate(
    [
        (0, (0, 1), None, "NONE"),
        (0, (0, 0.15), [0.25], "LOGISTIC"),
        (0, (-1, 1), None, "NONE"),
        (0, (-1, 1), [0.25], "LOGISTIC"),
        (0, (-1, 1), [0.25], "SOFTMAX"),
        (1, (0, 0.2), None, "NONE"),
        (1, (-1, 1), None, "SOFTMAX"),
        (0, (-1, 1), [0.25, 0.125], "LOGISTIC"),
        (1, (-1, 1), [0.25, 0.125], "NONE"),
        ("all", (0, 0.2), None, "NONE"),
        ("all", (-1, 1), [0.25], "LOGISTIC"),
        ("all", (-1, 1), [0.25, 0.125], "SOFTMAX"),
        ("one", (-1, 1), None, "LOGISTIC"),
        ("some", (-1, 1), None, "NONE"),
        ("some", (0, 0.3), None, "NONE"),
    ]
):
    named = {} if base is None else {"base_values": base}
    CASES.append(
        Case(
            f"onnx-two-classes-{number + 1}",
            f"two classes, leaves score {ids}, weights in {weights}, base values {base}, {post}",
            version3("Classifier", 2, seed=20 + number, trees=3 if ids != "some" else 1, ids=ids, weights=weights, post_transform=post, **named),
        )
    )
CASES += [
    Case("onnx-ensemble5", "TreeEnsemble of opset 5 with sets of members, float", version5()),
    Case("onnx-ensemble5-f64", "TreeEnsemble of opset 5 with sets of members, double", version5(np.float64, seed=4)),
    Case("onnx-ensemble5-targets", "TreeEnsemble of opset 5, three targets, SOFTMAX_ZERO", version5(members=False, targets=3, seed=5, post_transform=3)),
    Case("onnx-ensemble5-targets-f64", "TreeEnsemble of opset 5 in doubles, three targets, SOFTMAX_ZERO", version5(np.float64, targets=3, seed=7, post_transform=3)),
    Case("onnx-ensemble5-min", "TreeEnsemble of opset 5, MIN of two targets", version5(targets=2, seed=8, aggregate_function=2)),
    Case("onnx-ensemble5-average", "TreeEnsemble of opset 5, AVERAGE", version5(targets=1, seed=6, aggregate_function=0)),
    Case("onnx-ensemble5-softmax", "TreeEnsemble of opset 5, SOFTMAX of three targets: ONNX Runtime takes the number 1 for LOGISTIC", version5(members=False, targets=3, seed=5, post_transform=1), refuse=True),
    Case("onnx-encoders", "LabelEncoder of strings and integers, Normalizer, Concat", encoders),
    Case("onnx-encoded-missing", "LabelEncoder of version 4 with a key for missing values, to strings and back", encoded_missing),
    Case("onnx-after", "arithmetic after an ensemble, classes by ArgMax", after),
    Case("onnx-operators", "many operators of ai.onnx", operators, tolerance=1e-6),
    Case("onnx-ml-operators", "Imputer, Normalizer, Binarizer, Scaler and FeatureVectorizer of floats and integers", ml_operators),
    Case("onnx-linear-single", "LinearClassifier of one score, NONE", linear_single("NONE"), tolerance=1e-6),
    Case("onnx-linear-single-logistic", "LinearClassifier of one score, LOGISTIC", linear_single("LOGISTIC"), tolerance=1e-6),
    Case("onnx-refused", "an operator that is not known", unknown),
]

# --- Rows --------------------------------------------------------------------------------------------------


def inputs_of(model):
    """(name, element type, columns) of each input."""
    found = []
    for entry in model.graph.input:
        tensor = entry.type.tensor_type
        found.append((entry.name, tensor.elem_type, tensor.shape.dim[1].dim_value))
    return found


def attribute(node, name):
    from onnx import helper, numpy_helper

    for entry in node.attribute:
        if entry.name == name:
            value = helper.get_attribute_value(entry)
            return numpy_helper.to_array(value) if entry.type == entry.TENSOR else value
    return []


def thresholds_of(model):
    """Feature -> thresholds, of the ensembles that read the only input; others are asked at quantiles."""
    found = {}
    inputs = inputs_of(model)
    for node in model.graph.node:
        if node.op_type not in TREES or len(inputs) > 1 or node.input[0] != inputs[0][0]:
            continue
        modes = attribute(node, "nodes_modes")
        values = list(attribute(node, "nodes_values")) or list(attribute(node, "nodes_values_as_tensor")) or list(attribute(node, "nodes_splits"))
        for feature, value, mode in zip(attribute(node, "nodes_featureids"), values, modes):
            if mode != b"LEAF":
                found.setdefault(int(feature), []).append(float(value))
    return found


def hostile_rows(made):
    kinds = [element for _, element, columns in inputs_of(made.model) for _ in range(columns)]
    thresholds = thresholds_of(made.model)
    categories = {}
    for i, kind in enumerate(kinds):
        seen = sorted({row[i] for row in made.rows if row[i] == row[i]})
        if kind == STRING:
            categories[i] = seen + ["unseen", " ", "BERN", "nan"]
        elif kind == INT64:
            categories[i] = sorted({int(v) for v in seen[:12]}) + [-1, 0, 99, 2**24 + 1, -(2**31)]
        elif i not in thresholds:
            thresholds[i] = [float(v) for v in np.quantile(np.array(seen, dtype=float), [0, 0.3, 0.5, 0.9, 1])]
    rows = hostile.rows(made.rows, thresholds, categories, float32=True, keep=16, budget=40)
    return [[int(v) if kinds[i] == INT64 and not isinstance(v, str) and math.isfinite(v) else v for i, v in enumerate(row)] for row in rows if all(kinds[i] != INT64 or math.isfinite(v) for i, v in enumerate(row))]


def make(case, folder):
    """Trains and converts one case, asks the runtime, writes model and golden file."""
    made = case.make()
    golden = goldenfile.Golden(library=record.version("onnxruntime"), model=FILE, format=FORM, note=case.note, features=[])
    (folder / FILE).write_text(base64.encodebytes(made.model.SerializeToString(deterministic=True)).decode())
    if case.refuse or not made.rows:
        golden.refuse = case.note
    else:
        golden.features = hostile_rows(made)
        if case.tolerance:
            golden.extra["tolerance"] = repr(case.tolerance)
        answers = record.onnx(made.model, golden.features)
        golden.raw, golden.pred, golden.label = answers["raw"], answers["pred"], answers["label"]
        if made.predict:
            sample = made.rows[:100]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                own = np.asarray(made.predict([list(row) for row in sample]), dtype=float).reshape(len(sample), -1)
            distance = np.max(np.abs(own - record.onnx(made.model, sample)["pred"]))
            golden.extra["compared"] = f"{made.answer} itself differs by at most {distance:.2g} on training rows"
    goldenfile.write(folder / "golden.txt", golden)


def cases():
    import onnxruntime  # noqa: F401
    import skl2onnx  # noqa: F401

    return {case.name: case for case in CASES}

"""Small changes of a program's meaning, as they are made by mistake."""

import ast
from dataclasses import dataclass

# An operator and what it is changed into.
OPERATORS = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.And: "or",
    ast.Or: "and",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        line: Where it begins, from 1.
        start: The first byte that is replaced.
        stop: The byte behind the last.
        text: What stands there instead.
    """

    line: int
    start: int
    stop: int
    text: str

    def applied(self, source: str) -> str:
        """The changed source."""
        data = source.encode()
        return (data[: self.start] + self.text.encode() + data[self.stop :]).decode()


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a file, in the order of their places.

    Operators and numbers are changed, conditions negated, statements and keyword
    arguments left out, and `None` returned instead of a value. What has no meaning
    for a test stays as it is: texts, annotations, decorators, and what an exception
    says.
    """
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return sorted(finder.found, key=lambda mutant: (mutant.start, mutant.stop))


class _Finder(ast.NodeVisitor):
    def __init__(self, source):
        self.data = source.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found = []

    def span(self, node):
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def text(self, node):
        start, stop = self.span(node)
        return self.data[start:stop].decode()

    def replace(self, node, text):
        start, stop = self.span(node)
        self.found.append(Mutant(node.lineno, start, stop, text))

    def operator(self, left, right, operator):
        """The operator is what stands between its operands, parentheses aside."""
        if type(operator) in OPERATORS:
            a, b = self.span(left)[1], self.span(right)[0]
            between = self.data[a:b].decode()
            before = between[: len(between) - len(between.lstrip(" \n)"))]
            after = between[len(between.rstrip(" \n(")) :]
            if "#" not in between:
                text = before + OPERATORS[type(operator)] + after
                self.found.append(Mutant(right.lineno, a, b, text))

    def visit_BinOp(self, node):
        if not isinstance(node.left, ast.JoinedStr | ast.Constant) or isinstance(
            getattr(node.left, "value", None), int | float
        ):
            self.operator(node.left, node.right, node.op)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.operator(left, right, node.op)
        self.generic_visit(node)

    def visit_Compare(self, node):
        operands = [node.left, *node.comparators]
        for index, operator in enumerate(node.ops):
            self.operator(operands[index], operands[index + 1], operator)
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not | ast.USub):
            self.replace(node, f"({self.text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, bool):
            self.replace(node, str(not node.value))
        elif isinstance(node.value, int | float):
            self.replace(node, repr(node.value + 1))

    def condition(self, node):
        if not isinstance(node.test, ast.Compare | ast.UnaryOp):
            self.replace(node.test, f"(not ({self.text(node.test)}))")
        self.generic_visit(node)

    visit_If = visit_IfExp = visit_While = condition

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self.replace(node, "pass")
            self.generic_visit(node)
        # A string that stands alone is a docstring.

    def visit_AugAssign(self, node):
        self.replace(node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node):
        if node.value is not None:
            if not isinstance(node.value, ast.Constant):
                self.replace(node, "return None")
            self.generic_visit(node)

    def visit_Call(self, node):
        for keyword in node.keywords:
            if keyword.arg and keyword.arg != "name":
                start, stop = self.span(keyword)
                rest = self.data[stop:]
                stop += len(rest) - len(rest.lstrip(b", "))
                self.found.append(Mutant(keyword.value.lineno, start, stop, ""))
        self.generic_visit(node)

    def visit_Raise(self, node):
        self.replace(node, "pass")

    def visit_JoinedStr(self, node):
        pass

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_arguments(self, node):
        for default in (*node.defaults, *filter(None, node.kw_defaults)):
            self.visit(default)

    def function(self, node):
        self.visit(node.args)
        for statement in node.body:
            self.visit(statement)

    visit_FunctionDef = visit_AsyncFunctionDef = function

    def visit_ClassDef(self, node):
        for statement in node.body:
            self.visit(statement)

"""Formatting: what `terraform fmt` makes of the same text."""

import pytest

from dstream.config.syntax.format import format_text
from dstream.diagnostics import DiagnosticsError
from tests.conformance.cases import cases

CASES = [
    ("b x y z {\n}\n", 'b "x" "y" "z" {\n}\n'),
    ('b x "y" z{\n c d {}\n}\n', 'b "x" "y" "z" {\n  c "d" {}\n}\n'),
    ('a = "${\nx\n? y\n:z\n}"\n', "a = (x\n  ? y\n: z)\n"),
    ("a = 1 # x", "a = 1 # x\n"),
    ('b{\na="${x}"\n}', "b {\n  a = x\n}\n"),
    ('a = "${x\n}" # c\n', "a = x # c\n"),
    ("a=1\nbb   =  2\n", "a  = 1\nbb = 2\n"),
    ("a = 1 # x\nbbb = 22 # y\n", "a   = 1  # x\nbbb = 22 # y\n"),
    ('b "x"   "y"{\na=1\n   c   =   2\n}\n', 'b "x" "y" {\n  a = 1\n  c = 2\n}\n'),
    ("b{}\n", "b {}\n"),
    ("b{ }\n", "b {}\n"),
    ("b {\n\n\n  a = 1\n\n\n}\n", "b {\n\n\n  a = 1\n\n\n}\n"),
    ("a=[1,2,3]\n", "a = [1, 2, 3]\n"),
    ("a=[1 , 2,3 ,]\n", "a = [1, 2, 3, ]\n"),
    ("a=[\n1,\n2,\n]\n", "a = [\n  1,\n  2,\n]\n"),
    ("a={\nx=1\nyy=2\n}\n", "a = {\n  x  = 1\n  yy = 2\n}\n"),
    ("a={x=1,y=2}\n", "a = { x = 1, y = 2 }\n"),
    ("a={}\n", "a = {}\n"),
    ("a=f( 1,2 )\n", "a = f(1, 2)\n"),
    ("a=f(1, x ...)\n", "a = f(1, x...)\n"),
    ("a=x . y [ 0 ] . z\n", "a = x.y[0].z\n"),
    ("a=x[*].y\n", "a = x[*].y\n"),
    ("a=x.*.y\n", "a = x.*.y\n"),
    (
        "a=-1\nb=- 1\nc=1-1\nd=x -1\ne=(-1)\nf=[-1,- 2]\n",
        "a = -1\nb = -1\nc = 1 - 1\nd = x - 1\ne = (-1)\nf = [-1, -2]\n",
    ),
    ("a=!x\nb=! x\nc=!!x\n", "a = !x\nb = !x\nc = !!x\n"),
    ("a=x?y:z\n", "a = x ? y : z\n"),
    ("a=x&&y||z\n", "a = x && y || z\n"),
    ("a=x==y\n", "a = x == y\n"),
    ('a="${x}"\n', "a = x\n"),
    ('a="${ x }y"\n', 'a = "${x}y"\n'),
    ('a="${x}${y}"\n', 'a = "${x}${y}"\n'),
    ('a="${f("x")}"\n', 'a = f("x")\n'),
    ('a="x${ y+1 }z"\n', 'a = "x${y + 1}z"\n'),
    ('a="%{ if x }y%{ endif }"\n', 'a = "%{if x}y%{endif}"\n'),
    ('a="%{if x}y%{endif}"\n', 'a = "%{if x}y%{endif}"\n'),
    ('a="${~ x ~}"\n', "a = x\n"),
    ('a="b${~x~}"\n', 'a = "b${~x~}"\n'),
    ("a = <<EOT\n  x  =  y\nEOT\nb=1\n", "a = <<EOT\n  x  =  y\nEOT\nb = 1\n"),
    ("a = <<EOT\n${ x }\nEOT\n", "a = <<EOT\n${x}\nEOT\n"),
    ("a = <<EOT\n${ f( x,y ) }\nEOT\n", "a = <<EOT\n${f(x, y)}\nEOT\n"),
    ("x {\na = <<-EOT\n    foo\n    EOT\nb=1\n}\n", "x {\n  a = <<-EOT\n    foo\n    EOT\n  b = 1\n}\n"),
    ("a=f(<<EOT\nx\nEOT\n,1)\n", "a = f(<<EOT\nx\nEOT\n, 1)\n"),
    ("a=f({\nx=1\n})\n", "a = f({\n  x = 1\n})\n"),
    ("a = f([\n1\n])\n", "a = f([\n  1\n])\n"),
    ("a=[{\nx=1\n},{\ny=2\n}]\n", "a = [{\n  x = 1\n  }, {\n  y = 2\n}]\n"),
    ("# comment\n   # indented\na=1\n", "# comment\n# indented\na = 1\n"),
    ("// x\na = 1// y\n", "// x\na = 1 // y\n"),
    ("b {\n# c\na=1# d\n}\n", "b {\n  # c\n  a = 1 # d\n}\n"),
    ("a=[for x in y:x]\n", "a = [for x in y : x]\n"),
    ("a=[for x in [1]:x]\n", "a = [for x in [1] : x]\n"),
    ("a={for k,v in y:k=>v}\n", "a = { for k, v in y : k => v }\n"),
    ("a={for k,v in y:k=>v... if v}\n", "a = { for k, v in y : k => v... if v }\n"),
    ("a=(1+\n2)\n", "a = (1 +\n2)\n"),
    ("a = (\n  x\n  + y\n)\n", "a = (\n  x\n  + y\n)\n"),
    ("b {\n  c {\n d=1\n  }\n}\n", "b {\n  c {\n    d = 1\n  }\n}\n"),
    ("a = 1\n\n\n\nb = 2\n", "a = 1\n\n\n\nb = 2\n"),
    ("a = 1\nb {\n}\nc = 2\n", "a = 1\nb {\n}\nc = 2\n"),
    ("aaa=1\n\nb=2\n", "aaa = 1\n\nb = 2\n"),
    ("aaa=1\n# c\nb=2\n", "aaa = 1\n# c\nb = 2\n"),
    ("aaa=[\n1\n]\nb=2\n", "aaa = [\n  1\n]\nb = 2\n"),
    ("a=1\nbbbb=[\n1\n]\nccc=2\n", "a = 1\nbbbb = [\n  1\n]\nccc = 2\n"),
    ("b x y{\n}\n", 'b "x" "y" {\n}\n'),
    ("a=ns::f(1)\n", "a = ns::f(1)\n"),
    ("a=x.0.y\n", "a = x.0.y\n"),
    ("a=1", "a = 1\n"),
    ('a = "é" # c\nbb = "x" # d\n', 'a  = "é" # c\nbb = "x" # d\n'),
    ("a=1\t# c\n", "a = 1 # c\n"),
    ('a="x"    \n', 'a = "x"\n'),
    ("\n\na=1\n\n", "\n\na = 1\n\n"),
    ("b {\n  a = 1 # x\n  # y\n  bb = 2 # z\n}\n", "b {\n  a = 1 # x\n  # y\n  bb = 2 # z\n}\n"),
    ("a = x ? {\n b=1\n}:{\n c=2\n}\n", "a = x ? {\n  b = 1\n  } : {\n  c = 2\n}\n"),
    ("a = [\n  1, # one\n  22, # two\n]\n", "a = [\n  1,  # one\n  22, # two\n]\n"),
    ("a = {\n  x = 1, # one\n  yyy = 2 # two\n}\n", "a = {\n  x   = 1, # one\n  yyy = 2  # two\n}\n"),
    ("a=merge(x,{\ny=1\n},z)\n", "a = merge(x, {\n  y = 1\n}, z)\n"),
    ("a=f(\n1,\n2\n)\n", "a = f(\n  1,\n  2\n)\n"),
    ('a = "$${x}"\n', 'a = "$${x}"\n'),
    ("a=1*2+3/4%5\n", "a = 1 * 2 + 3 / 4 % 5\n"),
    ("a=x<y\nb=x>=y\nc=x!=y\n", "a = x < y\nb = x >= y\nc = x != y\n"),
    ("b { a=1 }\n", "b { a = 1 }\n"),
    ('locals {\n  a = { b = 1, c=2 }\n  ddd = "x"\n}\n', 'locals {\n  a   = { b = 1, c = 2 }\n  ddd = "x"\n}\n'),
    ('a="${{x=1}}"\n', "a = { x = 1 }\n"),
    ("a = [\n\n1\n\n]\n", "a = [\n\n  1\n\n]\n"),
    ('a = x["y"]\n', 'a = x["y"]\n'),
    ("a = (x)[0]\n", "a = (x)[0]\n"),
    ("a = f(x)[0]\n", "a = f(x)[0]\n"),
    ("a=[[1]]\n", "a = [[1]]\n"),
    ('a = {"x"=1,(y)=2}\n', 'a = { "x" = 1, (y) = 2 }\n'),
    ('a = {\n"x"=1\n(y)=2\n}\n', 'a = {\n  "x" = 1\n  (y) = 2\n}\n'),
    ("a = {x:1}\n", "a = { x : 1 }\n"),
    ("a = 1 #c\n", "a = 1 #c\n"),
    ("a = <<EOT\n  x ${ y\n} z\nEOT\nb=2\n", "a = <<EOT\n  x ${y\n} z\nEOT\nb = 2\n"),
    (
        "b {\n  a = <<EOT\nx\nEOT\n  ccc = 1 # c\n  d = 2 # d\n}\n",
        "b {\n  a   = <<EOT\nx\nEOT\n  ccc = 1 # c\n  d   = 2 # d\n}\n",
    ),
    ("a=x.y.*.z\n", "a = x.y.*.z\n"),
    ("a = x[*]\n", "a = x[*]\n"),
    ("a=f()\n", "a = f()\n"),
    ("a = -x.y\n", "a = -x.y\n"),
    ("a = 5 -3\n", "a = 5 - 3\n"),
    ("a = x ? -1 : -2\n", "a = x ? -1 : -2\n"),
    ('a = "${x ? "y" : "z"}"\n', 'a = x ? "y" : "z"\n'),
    ('a = [for x in y : "${x}"]\n', 'a = [for x in y : "${x}"]\n'),
    ('a = ["${x}"]\n', 'a = ["${x}"]\n'),
    ('a = f("${x}")\n', 'a = f("${x}")\n'),
    ('a = {x = "${y}"}\n', 'a = { x = "${y}" }\n'),
    ('a = {\n x = "${y}"\n}\n', 'a = {\n  x = "${y}"\n}\n'),
    ('b {\n a = "${x}" # c\n}\n', "b {\n  a = x # c\n}\n"),
    ('a = "${\nx\n}"\n', "a = x\n"),
    ("b {\n\n  a = 1\n\n}\n", "b {\n\n  a = 1\n\n}\n"),
    ("b {\n  a = 1\n\n\n  c = 2\n}\n", "b {\n  a = 1\n\n\n  c = 2\n}\n"),
    ('b "é" {\n}\n', 'b "é" {\n}\n'),
    ("a = try(x,null)\n", "a = try(x, null)\n"),
    ("a = x\n  \n  \nb = y\n", "a = x\n\n\nb = y\n"),
    ('a = "{{ env \\"X\\" }}"\n', 'a = "{{ env \\"X\\" }}"\n'),
    ("a = 1\r\nb = 2\r\n", "a = 1\r\nb = 2\r\n"),
    ("a = if\n", "a = if\n"),
    ("a = [for in in x:in]\n", "a = [for in in x : in]\n"),
    ('a= "a" == "b" ? 1:2\n', 'a = "a" == "b" ? 1 : 2\n'),
    ("a = { for k in x :\n k=>1\n}\n", "a = { for k in x :\n  k => 1\n}\n"),
    ("a = [\n  for k in x :\n k\n]\n", "a = [\n  for k in x :\n  k\n]\n"),
]


@pytest.mark.parametrize(("text", "wanted"), CASES)
def test_a_text_is_laid_out_as_terraform_does(text, wanted):
    assert format_text(text, "x") == wanted


@pytest.mark.parametrize("case", [c for c in cases("bodies.txt") if c.value == "valid"], ids=lambda c: c.name)
def test_formatting_twice_changes_nothing_more(case):
    once = format_text(case.text, "x")
    assert format_text(once, "x") == once


def test_invalid_text_is_not_formatted():
    with pytest.raises(DiagnosticsError):
        format_text("a = ", "x")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a = {\n  for k in x : k => 1\n  if k != null\n}\n", "a = {\n  for k in x : k => 1\n  if k != null\n}\n"),
        ("a = { # c\n\n  for k in x : k => 1 }\n", "a = { # c\n\nfor k in x : k => 1 }\n"),
        ("a = [\n  # c\n  for k in x : k\n]\n", "a = [\n  # c\n  for k in x : k\n]\n"),
        ("a = x[ * ].y\n", "a = x[*].y\n"),
        ("# two spaces  \na = 1\n", "# two spaces  \na = 1\n"),
        ('a = "${(x ?\n  y : z)}"\n', "a = (x ?\ny : z)\n"),
        ('variable "v" {\n  type = "string"\n}\n', 'variable "v" {\n  type = string\n}\n'),
        ('variable "v" {\n  type = "list" # c\n}\n', 'variable "v" {\n  type = list(string) # c\n}\n'),
        ('variable "v" {\n  type = map\n}\n', 'variable "v" {\n  type = map(any)\n}\n'),
        ("a=<<E\r\nx\r\nE\r\nb = 1\r\n", "a = <<E\r\nx\r\nE\r\nb = 1\r\n"),
        ("a = <<E\nx\nE\r", "a = <<E\nx\nE\n"),
        ('output "v" {\n  type = "list"\n}\n', 'output "v" {\n  type = "list"\n}\n'),
        ('variable "v" {\n  default = "list"\n}\n', 'variable "v" {\n  default = "list"\n}\n'),
    ],
)
def test_what_terraform_fmt_does_too(text, wanted):
    assert format_text(text, "x") == wanted

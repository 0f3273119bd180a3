# comment
// another
/* and
   one more */
variable "L" { default = [{ n = "x", v = [1, 2] }, { n = "y", v = [3] }] }
variable "KEY" { default = "k" }
target default {
  args = {
    "quoted-key" = 1,
    (KEY) = "computed"
    "${KEY}2": "colon"
    legacy = L.0.n
    splat = join(",", L.*.n)
    full = jsonencode(L[*].v[0])
    thousand = 1e3
    decimal = 1.50
    third = 1 / 4
    negative = -7 % 3
    unicode = "\u00fc\U0001F600"
    map_by_number = { "1" = "one" }[1]
    list_choice = join(",", true ? ["a"] : [])
    set = join(",", setunion(["b", "a", "b"], ["a"]))
    sets = join(",", [for s in setunion(["b", "a"]) : "${s}!"])
    not_equal = "a" != "b"
    bool_text = "is ${true}"
    nested = "${"inner ${1 + 1}"}"
    object = jsonencode({ a = null, "b" = [], c = {} })
    parens = (1 + 2) * 3
    multi = (
      1 +
      2
    )
    float = 3.14159
    text_number = "5" + 1
    and_or = true && false || true
    if_for = <<-EOT
      %{ for i, v in ["a", "b"] ~}
      ${i}=${v}
      %{ endfor ~}
      %{ if KEY == "k" ~}
      yes
      %{ else ~}
      no
      %{ endif ~}
    EOT
    upper_map = jsonencode({ for k, v in { a = 1, b = 2 } : upper(k) => v * 2 if v > 1 })
    tuple_types = jsonencode([1, "a", true, null])
    min = min(3, 1.5)
    ternaries = 1 > 2 ? "a" : 2 > 3 ? "b" : "c"
    empty = ""
    spaces = "  a  "
  }
}

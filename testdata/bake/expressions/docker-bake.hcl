variable "M" { default = { a = 1, b = [1, 2, 3] } }
target "default" {
  args = {
    arithmetic = 1 + 2 * 3 - 4 / 2 % 3
    division = 7 / 2
    compare = 1 < 2 && !(3 >= 4) || false
    choice = 1 == 1 ? "yes" : "no"
    mixed = true ? 1 : "x"
    index = M["b"][1]
    attribute = M.a
    splat = join(",", [{ n = "x" }, { n = "y" }][*].n)
    for = join(",", [for i, v in M.b : "${i}${v}" if v != 2])
    keys = join(",", keys({ for k, v in M : upper(k) => 1 }))
    grouped = jsonencode({ for w in ["ab", "ac", "b"] : substr(w, 0, 1) => w... })
    negative = -M.a
    heredoc = <<EOT
one
 two ${M.a}
EOT
    dedented = <<-EOT
      one
        two ${M.a}

      three
    EOT
    directive = "%{ if true }x%{ else }y%{ endif }%{ for v in M.b }${v},%{ endfor }"
    trimmed = "a ${~ "b" ~} c"
    escaped = "$${x} %%{y} \"q\" \t\u00e9"
    nothing = null
    equal = "1" == 1
    tenth = 0.1 + 0.2
    large = 123456789012345678
    spread = max([1, 5, 3]...)
  }
}

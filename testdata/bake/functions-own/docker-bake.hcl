function "tag" {
  params = [name, version]
  variadic_params = more
  result = concat(["${name}:${version}"], [for m in more : "${name}:${m}"])
}
function "twice" {
  params = [x]
  result = inner(inner(x))
}
function "inner" {
  params = [x]
  result = "${PRE}${x}"
}
variable "PRE" { default = "_" }
target "default" {
  tags = tag("app", 1, "b", "c")
  args = { T = twice("x") }
}

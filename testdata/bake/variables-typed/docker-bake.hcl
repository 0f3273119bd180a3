variable "LIST" { type = list(string) }
variable "NUMBERS" { type = list(number) }
variable "SET" { type = set(string) }
variable "MAP" { type = map(bool) }
variable "OBJ" {
  type = object({ name = string, n = number })
  default = { name = "x", n = 1 }
}
variable "PLAIN" {
  type = string
  default = null
}
target "default" {
  args = {
    l = join("|", LIST)
    n = NUMBERS[0] + NUMBERS[1]
    s = join("|", SET)
    m = MAP["a"] ? "on" : "off"
    o = "${OBJ.name}${OBJ.n}"
    p = PLAIN == null ? "null" : PLAIN
  }
}

variable "A" {
  type = any
  default = [1, "b"]
}
variable "T" {
  type = tuple([string, number])
  default = ["a", 1]
}
variable "M" {
  type = map(list(string))
  default = { x = ["1"] }
}
variable "NOTHING" { type = list(string) }
target "default" {
  args = { A = jsonencode(A), T = jsonencode(T), M = M.x[0], N = NOTHING == null ? "null" : "some" }
}

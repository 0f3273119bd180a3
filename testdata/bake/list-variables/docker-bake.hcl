variable "A" {
  description = "words"
  default = "x"
}
variable "L" {
  type = list(string)
  default = ["a", "<"]
}
variable "N" { type = number }
variable "O" { default = { a = 1 } }
variable "B" { default = true }

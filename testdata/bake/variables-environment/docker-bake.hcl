variable "TAG" { default = "latest" }
variable "N" { default = 1 }
variable "ON" { default = false }
variable "NONE" {}
target "default" {
  args = { T = TAG, N = N + 1, ON = ON ? "yes" : "no", NONE = "[${NONE}]" }
}

variable "V" {
  default = "a"
  validation {
    condition = strlen(V) > 2
    error_message = "it needs three letters, not ${strlen(V)}"
  }
}
target "default" {}

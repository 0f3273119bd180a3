variable "V" {
  default = "abc"
  validation {
    condition = strlen(V) > 2
    error_message = "too short"
  }
}
target "default" { args = { V = V } }

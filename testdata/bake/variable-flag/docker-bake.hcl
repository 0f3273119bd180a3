variable "A" { default = "1" }
target "default" { args = { A = A } }

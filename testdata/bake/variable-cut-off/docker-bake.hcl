variable "A" { default = "file" }
target "default" { args = { A = A } }

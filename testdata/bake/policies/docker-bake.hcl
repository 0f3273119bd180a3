target "base" {
  policy = ["filename=b.rego,reset=true"]
}

target "default" {
  inherits = ["base"]
  policy   = ["filename=c.rego,strict=false", { filename = "d.rego", strict = true, log-level = "debug" }]
}

target "none" {
  policy = [{ disabled = true }, ""]
}

target "several" {
  policy = ["filename=x,filename=y,log-level=Warn,disabled=false"]
}

target "set" {
  inherits = ["base"]
}

target "more" {
  inherits = ["base"]
}

target "empty" {
  policy = [""]
}

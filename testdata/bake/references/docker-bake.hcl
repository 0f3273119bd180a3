target "app" {
  tags = ["app:1", "app:2"]
  args = { V = "1" }
  context = "dir"
}
target "default" {
  tags = [for t in target.app.tags : "${t}-x"]
  args = { V = "${target.app.args.V}0" }
  context = target.app.context
  dockerfile = target.app.dockerfile == null ? "Other" : ""
}

target "app.x" {}

target "default" {
  description = "everything"
  annotations = ["a=b", "index:c=d"]
  attest = ["type=provenance,mode=max", { type = "sbom", disabled = true }]
  cache-from = ["user/app:cache", { type = "local", src = "cache" }]
  cache-to = ["type=local,dest=cache"]
  call = "build"
  context = "./sub/../dir"
  contexts = { alpine = "docker-image://alpine:3", src = "../src" }
  dockerfile = "Dockerfile.app"
  args = { A = "x", B = 1, C = true, D = null }
  entitlements = ["network.host"]
  extra-hosts = { myhost = "10.0.0.1" }
  labels = { "com.example" = "y" }
  network = "host"
  no-cache = false
  no-cache-filter = ["stage"]
  output = ["type=image,name=x", { type = "local", dest = "out" }]
  platforms = ["linux/amd64", "linux/arm64"]
  pull = true
  secret = [{ id = "kube", env = "KUBECONFIG" }, "id=aws,env=AWS"]
  shm-size = "128m"
  tags = ["a:1", "a:1", ""]
  target = "release"
  ulimits = ["nofile=1024:1024"]
}

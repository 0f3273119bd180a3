package docker

# What Docker's policies may call of images that its builder at GitHub signed.

docker_github_builder_signature(signature, repository) if {
	signature.kind == "docker-github-builder"
	signature.type == "bundle-v0.3"
	count(signature.timestamps) > 0
	signer := signature.signer
	signer.runnerEnvironment == "github-hosted"
	signer.issuer == "https://token.actions.githubusercontent.com"
	signer.certificateIssuer == "CN=sigstore-intermediate,O=sigstore.dev"
	signer.sourceRepositoryURI == concat("/", ["https://github.com", repository])
}

docker_github_builder(image, repository) if {
	image.hasProvenance
	some signature in image.signatures
	docker_github_builder_signature(signature, repository)
}

docker_github_builder_tag(image, repository, tag) if {
	docker_github_builder(image, repository)
	some signature in image.signatures
	signature.signer.sourceRepositoryRef == concat("/", ["refs/tags", tag])
}

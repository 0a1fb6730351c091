.PHONY: generate
generate: ## Write gen/ from proto/ with the pinned buf and plugins
	scripts/protos generate

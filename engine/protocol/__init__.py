"""Messages of `perdure.api.v1`, generated from proto/: what the published protocol cannot say."""

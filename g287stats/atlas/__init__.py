"""The atlas: what was signed and recorded in every county and state, as facts and as pages that need no network."""

"""Studies: a question, its plan, how it is carried out, and the catalogue of published claims."""

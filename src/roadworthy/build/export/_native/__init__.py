"""Parts of the target ``native``: the generated model, and what lies beside it in the end."""

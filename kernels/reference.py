def phases_twin(*a): raise NotImplementedError

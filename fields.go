package neutrino

// Fields is the set of attributes, by wire name, that a request names. It
// tells "not given" from "given as null or empty" where that differs.
type Fields map[string]bool

// Has reports whether the request names the attribute.
func (f Fields) Has(name string) bool { return f[name] }

package admission

// Aside is what another goroutine writes for a request, or its panic, which is one of
// the request that it writes for: nothing else may end.
type Aside struct {
	Written []byte
	panic   any
}

// Write keeps what how writes.
func (p *Aside) Write(how func() []byte) {
	defer func() { p.panic = recover() }()
	p.Written = how()
}

// Text is what was written, or panics as the writer did.
func (p *Aside) Text() []byte {
	if p.panic != nil {
		panic(p.panic)
	}
	return p.Written
}

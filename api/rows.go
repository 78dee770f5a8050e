package api

import (
	"runtime"
	"sync"

	"neutrino/api/wire"
	"neutrino/store"
)

const (
	// rowRoom is the room in bytes that is made for an object.
	rowRoom = 1024
	// rowsOfPart is how many objects at least are worth another goroutine.
	rowsOfPart = 256
)

// appendRows writes a list of objects, a long one on all processors.
func (k *kind[T]) appendRows(b []byte, v view, rows []*T, fields map[string]bool) []byte {
	parts := min(runtime.GOMAXPROCS(0), len(rows)/rowsOfPart)
	if _, still := v.Reader.(*store.Snapshot); !still || parts < 2 { // a transaction is one goroutine's
		return wire.AppendList(b, rows, func(b []byte, row *T) []byte { return k.appendRow(b, v, row, fields) })
	}
	write := func(b []byte, v view, rows []*T) []byte {
		for _, row := range rows {
			b = append(k.appendRow(b, v, row, fields), ',')
		}
		return b
	}
	each := (len(rows) + parts - 1) / parts
	others := make([]part, parts-1)
	var wait sync.WaitGroup
	for i := range others {
		of, v := rows[(i+1)*each:min((i+2)*each, len(rows))], v.again()
		wait.Go(func() {
			others[i].write(func() []byte { return write(make([]byte, 0, rowRoom*len(of)), v, of) })
		})
	}
	defer wait.Wait() // also after a panic of ours: they look at what belongs to the request
	b = write(append(b, '['), v, rows[:each])
	wait.Wait()
	for _, p := range others {
		b = append(b, p.text()...)
	}
	b[len(b)-1] = ']' // in place of the last comma
	return b
}

// part is what another goroutine writes, or its panic, which is one of the request
// that it writes for: nothing else may end.
type part struct {
	written []byte
	panic   any
}

func (p *part) write(how func() []byte) {
	defer func() { p.panic = recover() }()
	p.written = how()
}

// text is what was written, or panics as the writer did.
func (p *part) text() []byte {
	if p.panic != nil {
		panic(p.panic)
	}
	return p.written
}

package api

import (
	"io"
	"runtime"
	"sync"

	"neutrino/api/admission"
	"neutrino/api/wire"
)

const (
	// rowRoom is the room in bytes that is made for an object.
	rowRoom = 1024
	// rowsOfPart is how many objects are written in one go. About twice as many are
	// worth another goroutine.
	rowsOfPart = 256
)

// listing is a long list that is to be written.
type listing[T any] struct {
	rows   []*T
	fields map[string]bool
	tail   []byte // after the list
}

// stream writes a long list piece by piece: on all processors while nobody else wants
// them, and without a seat while the client takes what is written.
func (k *kind[T]) stream(c *call, v view, l listing[T]) func(io.Writer) error {
	return func(to io.Writer) error {
		defer c.work.Leave()
		b := append(wire.AppendString(append(make([]byte, 0, rowRoom*rowsOfPart), '{'), k.many), ":["...)
		var others []admission.Aside
		for len(l.rows) > 0 {
			if err := c.work.Again(); err != nil {
				return err
			}
			more := c.work.Pass().Extra(min(runtime.GOMAXPROCS(0), (len(l.rows)+rowsOfPart-1)/rowsOfPart) - 1)
			for len(others) < more {
				others = append(others, admission.Aside{Written: make([]byte, 0, rowRoom*rowsOfPart)})
			}
			n := min(len(l.rows), (1+more)*rowsOfPart)
			b = k.appendRows(b, v, l.rows[:n], writers{l.fields, others[:more]})
			c.work.Leave()
			if l.rows = l.rows[n:]; len(l.rows) == 0 {
				b = append(append(b[:len(b)-1], ']'), l.tail...) // in place of the last comma
			}
			if _, err := to.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
		return nil
	}
}

// writers write rows with those of their attributes that are wanted.
type writers struct {
	fields map[string]bool
	others []admission.Aside // beside the request's goroutine
}

// appendRows writes objects, each with a comma after it.
func (k *kind[T]) appendRows(b []byte, v view, rows []*T, w writers) []byte {
	write := func(b []byte, v view, rows []*T) []byte {
		for _, row := range rows {
			b = append(k.appendRow(b, v, row, w.fields), ',')
		}
		return b
	}
	each := (len(rows) + len(w.others)) / (1 + len(w.others))
	var wait sync.WaitGroup
	for i := range w.others {
		p, of, v := &w.others[i], rows[min(len(rows), (i+1)*each):min((i+2)*each, len(rows))], v.again()
		wait.Go(func() { p.Write(func() []byte { return write(p.Written[:0], v, of) }) })
	}
	defer wait.Wait() // also after a panic of ours: they look at what belongs to the request
	b = write(b, v, rows[:each])
	wait.Wait()
	for i := range w.others {
		b = append(b, w.others[i].Text()...)
	}
	return b
}

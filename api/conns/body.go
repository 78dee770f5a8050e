package conns

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"neutrino/api/admission"
)

// The pace of a client that sends a body or takes an answer: so long, and so many
// bytes a second after that.
const (
	grace   = 10 * time.Second
	minRate = 64 << 10
)

// A body's buffer begins small, and is charged as if the connection were in it:
// thousands that promise much and send a byte cost what they cost.
const (
	firstBuffer = 4 << 10
	overhead    = 16 << 10
)

// Deadline is when a client that has sent or taken so many bytes since start is too
// slow.
func Deadline(start time.Time, bytes int64) time.Time {
	return start.Add(grace + time.Duration(bytes)*time.Second/minRate)
}

// Body is a request's body, which memory of the budget holds until Release.
type Body struct {
	Bytes  []byte
	budget *admission.Budget
	flow   string
	taken  int64
}

// Release gives the memory back.
func (b *Body) Release() {
	b.budget.Give(b.flow, b.taken)
	b.Bytes, b.taken = nil, 0
}

// ReadBody reads a body of at most so many bytes. Its buffer grows with what has
// come, whatever the header promises, and takes from the budget before it grows: no
// room is a *[admission.Refusal]. A longer body is a *[http.MaxBytesError]. A client
// that is too slow loses its connection, and while it is waited for the connection
// may go for another's.
func ReadBody(w http.ResponseWriter, r *http.Request, b *Body, limit int64) error {
	control, start := http.NewResponseController(w), time.Now()
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		_ = control.SetReadDeadline(time.Time{}) // a test's recorder has none
		return nil
	}
	if r.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	if err := b.take(overhead); err != nil {
		return err
	}
	defer Waits(r.Context())()
	from := http.MaxBytesReader(w, r.Body, limit)
	for {
		if len(b.Bytes) == cap(b.Bytes) {
			if err := b.grow(limit); err != nil {
				return err
			}
		}
		_ = control.SetReadDeadline(Deadline(start, int64(len(b.Bytes))))
		n, err := from.Read(b.Bytes[len(b.Bytes):cap(b.Bytes)])
		b.Bytes = b.Bytes[:len(b.Bytes)+n]
		if err == io.EOF {
			// From here on only an end of the connection is listened for.
			_ = control.SetReadDeadline(time.Time{})
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
	}
}

// NewBody is an empty body of the flow.
func NewBody(budget *admission.Budget, flow string) *Body {
	return &Body{budget: budget, flow: flow}
}

func (b *Body) take(bytes int64) error {
	if err := b.budget.Try(b.flow, bytes); err != nil {
		return err
	}
	b.taken += bytes
	return nil
}

// grow doubles the buffer. While the old one is copied both are there.
func (b *Body) grow(limit int64) error {
	size := int64(max(firstBuffer, min(2*cap(b.Bytes), int(limit)+1)))
	if err := b.take(size); err != nil {
		return err
	}
	old := int64(cap(b.Bytes))
	larger := make([]byte, len(b.Bytes), size)
	copy(larger, b.Bytes)
	b.Bytes = larger
	b.budget.Give(b.flow, old)
	b.taken -= old
	return nil
}

// Writer sends an answer to a client that takes it at a pace; to one that does not
// it gives an error.
type Writer struct {
	to      io.Writer
	control *http.ResponseController
	start   time.Time
	// Sent is how many bytes were sent.
	Sent int64
}

// NewWriter makes a writer of an answer that begins now.
func NewWriter(w http.ResponseWriter) *Writer {
	return &Writer{to: w, control: http.NewResponseController(w), start: time.Now()}
}

// Write sends bytes.
func (w *Writer) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(Deadline(w.start, w.Sent+int64(len(b)))) // a test's recorder has none
	n, err := w.to.Write(b)
	w.Sent += int64(n)
	return n, err
}

package admission

import "context"

// Work is one request: its seat at the gate, and the memory that it holds. It
// belongs to one goroutine. A nil Work, as that of a transaction which cannot be
// interrupted, goes on for ever and holds nothing.
type Work struct {
	ctx   context.Context
	flow  string
	pass  *Pass
	held  []func() // give memory back
	steps int
	ended error // why it stopped
}

// Work is a request of the flow, which lasts until ctx ends.
func (d *Desk) Work(ctx context.Context, flow string) *Work {
	return &Work{ctx: ctx, flow: flow, pass: d.Gate.Pass(flow)}
}

// Pass is the request's way through the gate.
func (w *Work) Pass() *Pass { return w.pass }

// Leave gives the seat back, Again takes it once more.
func (w *Work) Leave() {
	if w != nil {
		w.pass.Leave()
	}
}

// Again takes a seat for more of the same.
func (w *Work) Again() error { return w.pass.Again(w.ctx) }

// Close gives everything back.
func (w *Work) Close() {
	if w == nil {
		return
	}
	w.Leave()
	for _, give := range w.held {
		give()
	}
	w.held = nil
}

// Keep has a function called when the request is over.
func (w *Work) Keep(give func()) { w.held = append(w.held, give) }

// Hold takes memory for as long as the request lasts, without a seat while it waits.
func (w *Work) Hold(b *Budget, bytes int64) error {
	w.Leave()
	if err := b.Take(w.ctx, w.flow, bytes); err != nil {
		return err
	}
	w.Keep(func() { b.Give(w.flow, bytes) })
	return w.Again()
}

// Pause lets others work, if the request has for a slice, and says whether it is
// wanted at all any more.
func (w *Work) Pause() error {
	switch {
	case w.ended != nil:
	case w.pass.Over():
		w.ended = w.pass.Pause(w.ctx)
	default:
		w.ended = w.ctx.Err()
	}
	return w.ended
}

// stepsOfLook is after how many rows or comparisons a request looks at the clock.
const stepsOfLook = 64

// Step counts a row that was looked at, or a comparison, and reports whether to go
// on.
func (w *Work) Step() bool {
	if w == nil {
		return true
	}
	if w.steps++; w.steps%stepsOfLook == 0 {
		_ = w.Pause() // w.ended has it
	}
	return w.ended == nil
}

// Ended is why the request has stopped, if it has.
func (w *Work) Ended() error {
	if w == nil {
		return nil
	}
	return w.ended
}

// Attempts gives the seat back when f ends: the work of a transaction needs one, its
// way to the disk does not. Called again, after a lost race, f has none: in a
// transaction others wait for it, some of them in seats, so that it must wait for
// nobody.
func Attempts[T any](w *Work, f func(T) error) func(T) error {
	return func(tx T) error {
		defer w.Leave()
		return f(tx)
	}
}

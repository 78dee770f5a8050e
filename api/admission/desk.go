package admission

import (
	"runtime"
	"time"
)

// Desk is all that requests share.
type Desk struct {
	Gate *Gate
	// Bodies is for what clients send, Values for what is made of it, Answers for
	// the lists of rows that are being sent.
	Bodies, Values, Answers *Budget
	Pressure                *Pressure
}

// The defaults of a desk.
const (
	queue    = 256
	slice    = time.Millisecond
	patience = time.Minute
	// The part of the memory that each budget has, and its bounds in bytes.
	budgetPart  = 16
	leastBudget = 32 << 20
	mostBudget  = 256 << 20
)

// NewDesk makes the desk of a program that may have so much memory, in bytes. There
// is a seat for each processor and one more: a project may have all processors
// while nobody else wants them, and who comes finds a seat free.
func NewDesk(memory int64) *Desk {
	processors := runtime.GOMAXPROCS(0)
	budget := min(max(memory/budgetPart, leastBudget), mostBudget)
	return &Desk{
		Gate: NewGate(Options{
			Seats: processors + 1, Share: processors, Queue: queue, Slice: slice, Patience: patience,
		}),
		Bodies: NewBudget("request bodies", budget), Values: NewBudget("what bodies say", budget),
		Answers: NewBudget("long lists", budget), Pressure: NewPressure(),
	}
}

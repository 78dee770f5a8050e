package host

import "fmt"

// ItemError is a failure of one item: it concerns that item's object and leaves
// the others alone. Hands return them, joined, from Apply.
type ItemError struct {
	Item string // the key in text: "flow br-int table=0 …"
	Why  Why
	Err  error
}

// Error names the item and its failure.
func (e *ItemError) Error() string { return fmt.Sprintf("%s: %v", e.Item, e.Err) }

// Unwrap is the failure itself.
func (e *ItemError) Unwrap() error { return e.Err }

// Absent is the failure of an item that waits for something that others make:
// it is no error of ours, it is pending.
type Absent struct{ What string }

// Error says what is waited for.
func (e *Absent) Error() string { return e.What + " is not there yet" }

// Object is the object that the item is for.
func (e *ItemError) Object() string { return e.Why.Object }

// Package top keeps the first rows of an order, for a page of a list.
package top

import "slices"

// Rows keeps the first Limit rows of an order among any number that come.
type Rows[T any] struct {
	Limit int
	Less  func(a, b *T) int
	// List is what is kept: after Cut the rows in their order.
	List []*T
	full bool // List[Limit-1] is the last row that can still matter
}

// Wants reports whether the row can be among the first.
func (t *Rows[T]) Wants(row *T) bool { return !t.full || t.Less(row, t.List[t.Limit-1]) < 0 }

// Add keeps a row, for now.
func (t *Rows[T]) Add(row *T) {
	if t.List = append(t.List, row); len(t.List) >= Room(t.Limit) {
		t.Cut()
	}
}

// room keeps short pages from sorting for each row.
const room = 256

// Room is how many rows are kept at most for so many first ones.
func Room(limit int) int { return 2*limit + room }

// Cut sorts, and keeps the first.
func (t *Rows[T]) Cut() {
	slices.SortFunc(t.List, t.Less)
	if len(t.List) >= t.Limit {
		t.List, t.full = t.List[:t.Limit], true
	}
}

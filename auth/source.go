package auth

import (
	"context"
	"fmt"
	"time"
)

// sourceKey is the context's key of where a request comes from.
type sourceKey struct{}

// From notes in a request's context where it comes from: what passwords that come
// from there cost is bounded together.
func From(ctx context.Context, source string) context.Context {
	return context.WithValue(ctx, sourceKey{}, source)
}

func sourceOf(ctx context.Context) string {
	s, _ := ctx.Value(sourceKey{}).(string)
	return s
}

// Busy is the refusal to check a password now, because too many are to be checked
// that come from the same place: status 429.
type Busy struct{ After time.Duration }

// Error says when to try again.
func (b *Busy) Error() string {
	return fmt.Sprintf("Too many passwords of this address are being checked: try again in %v.", b.After)
}

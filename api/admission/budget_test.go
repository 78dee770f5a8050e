package admission

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"
)

// One flow has half of the memory; the other half is others'.
func TestAFlowHasHalfOfTheMemory(t *testing.T) {
	b := NewBudget("bodies", 100)
	var r *Refusal
	if err := b.Try("crowd", 50); err != nil {
		t.Fatal(err)
	}
	if err := b.Try("crowd", 1); !errors.As(err, &r) || !r.Own {
		t.Errorf("beyond its share: %v", err)
	}
	if err := b.Try("other", 50); err != nil {
		t.Errorf("the other half: %v", err)
	}
	if err := b.Try("third", 1); !errors.As(err, &r) || r.Own {
		t.Errorf("beyond the limit: %v", err)
	}
	if err := b.Take(context.Background(), "third", 51); !errors.As(err, &r) {
		t.Errorf("what never fits: %v", err)
	}
	b.Give("crowd", 50)
	b.Give("other", 50)
	if b.used != 0 || len(b.flows) != 0 {
		t.Errorf("%d bytes are left", b.used)
	}
}

// Who waits for memory gets it in order, and does not hold up others.
func TestWhoWaitsForMemoryHoldsUpNobodyElse(t *testing.T) {
	b := NewBudget("bodies", 100)
	ctx := context.Background()
	if err := b.Take(ctx, "crowd", 40); err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 2)
	for i := range 2 {
		go func() {
			if err := b.Take(ctx, "crowd", 40); err != nil {
				t.Error(err)
			}
			got <- i
		}()
		until(t, "it waits", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.waiting) == i+1 })
	}
	if err := b.Take(ctx, "other", 40); err != nil {
		t.Error(err)
	}
	for want := range 2 {
		b.Give("crowd", 40)
		if i := <-got; i != want {
			t.Errorf("%d came, want %d", i, want)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.Take(ended, "crowd", 40); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone: %v", err)
	}
	b.Give("crowd", 40)
	b.Give("other", 40)
	if b.used != 0 || len(b.flows) != 0 || len(b.waiting) != 0 {
		t.Errorf("%d bytes and %d who wait are left", b.used, len(b.waiting))
	}
}

func TestTheMemoryIsNeverExceeded(t *testing.T) {
	b := NewBudget("bodies", 1000)
	var wait sync.WaitGroup
	for i := range 32 {
		wait.Go(func() {
			flow := string(rune('a' + i%4))
			for j := range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+j%5)*100*time.Microsecond)
				n := int64(1 + (i*j)%500)
				if b.Take(ctx, flow, n) == nil {
					b.Give(flow, n)
				}
				cancel()
			}
		})
	}
	wait.Wait()
	if b.Most() > 1000 || b.used != 0 || len(b.waiting) != 0 {
		t.Errorf("at most %d bytes, %d left, %d wait", b.Most(), b.used, len(b.waiting))
	}
}

func TestTheHeapNearItsLimitIsSaid(t *testing.T) {
	c := &clock{t: time.Unix(100, 0)}
	live, limit := uint64(0), int64(1<<30)
	p := &Pressure{live: func() uint64 { return live }, limit: func() int64 { return limit }, now: c.now}
	for _, row := range []struct {
		part  float64
		limit int64
		want  Level
	}{
		{0.5, 1 << 30, Calm}, {0.79, 1 << 30, Calm}, {0.81, 1 << 30, Strained}, {0.93, 1 << 30, Full}, {2, 1 << 30, Full}, {0.93, math.MaxInt64, Calm},
	} {
		live, limit = uint64(row.part*(1<<30)), row.limit
		if c.pass(lookEvery); p.Level() != row.want {
			t.Errorf("%v of the limit: %v, want %v", row.part, p.Level(), row.want)
		}
	}
	if NewPressure().Level() == Full {
		t.Error("this test fills the memory")
	}
}

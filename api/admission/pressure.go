package admission

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// Level is how near the memory's limit the heap is.
type Level int

// The levels. As in Envoy's overload manager, what is expensive is refused before
// everything is.
const (
	Calm     Level = iota // everything is served
	Strained              // long lists and large bodies are refused
	Full                  // all requests are refused
)

// The parts of the limit at which the levels begin, percent.
const (
	strainedAt = 80
	fullAt     = 92
)

// lookEvery is how often the heap is looked at.
const lookEvery = 100 * time.Millisecond

// Pressure watches the heap.
type Pressure struct {
	live  func() uint64 // bytes that the last collection found in use
	limit func() int64
	now   func() time.Time

	mu     sync.Mutex
	looked time.Time
	level  Level
}

// NewPressure watches this program's heap against its memory limit
// ([debug.SetMemoryLimit]). Without a limit it is always calm.
func NewPressure() *Pressure {
	return &Pressure{live: liveHeap, limit: func() int64 { return debug.SetMemoryLimit(-1) }, now: time.Now}
}

// liveHeap is what the last collection found, and what goroutines' stacks have. What
// was allocated since may be garbage: near the limit the next collection comes soon.
func liveHeap() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() + samples[1].Value.Uint64()
}

// Level is the present level.
func (p *Pressure) Level() Level {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.looked) >= lookEvery {
		p.looked, p.level = now, levelOf(p.live(), p.limit())
	}
	return p.level
}

func levelOf(live uint64, limit int64) Level {
	switch {
	case limit == math.MaxInt64 || limit <= 0:
		return Calm
	case live >= uint64(limit)/100*fullAt:
		return Full
	case live >= uint64(limit)/100*strainedAt:
		return Strained
	}
	return Calm
}

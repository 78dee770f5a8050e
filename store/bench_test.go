package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
)

// openDB opens a store on a file, or in memory, until the test ends.
func openDB(t testing.TB, path string) *store.DB {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// numbered is a port as the API would store it.
func numbered(n uint32, net, subnet neutrino.ID) *neutrino.Port {
	var random [16]byte
	for i := range random {
		random[i] = byte(n * 2654435761 >> (i % 4 * 8) * uint32(i+1))
	}
	random[0], random[1], random[2], random[3] = byte(n>>24), byte(n>>16), byte(n), byte(n>>8)
	now := time.Unix(1_700_000_000, 0).UTC()
	return &neutrino.Port{
		ID: neutrino.NewID(random), NetworkID: net, ProjectID: "default", AdminStateUp: true,
		Name: fmt.Sprintf("port-%d", n), Status: neutrino.PortDown,
		MAC:      neutrino.MAC{0xfa, 0x16, 0x3e, byte(n >> 16), byte(n >> 8), byte(n)},
		FixedIPs: []neutrino.FixedIP{{SubnetID: subnet, IPAddress: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})}},
		DeviceID: fmt.Sprintf("device-%d", n), DeviceOwner: "compute:nova",
		SecurityGroups: []neutrino.ID{"7a9d0f6c-2f38-4c53-a3e5-9b07e8a4a4c1"}, PortSecurityEnabled: true,
		VNICType: "normal", VIFType: neutrino.VIFUnbound, Profile: "{}",
		Standard: neutrino.Standard{CreatedAt: now, UpdatedAt: now},
	}
}

// createPort writes a port with the claims that make its MAC and address unique.
func createPort(ctx context.Context, db *store.DB, p *neutrino.Port) error {
	_, err := db.Update(ctx, func(tx *store.Tx) error {
		if !store.Exists(tx, store.Networks, p.NetworkID) {
			return neutrino.Errorf(neutrino.NotFound, "NetworkNotFound", "no network")
		}
		ip := p.FixedIPs[0]
		if !tx.Claim("mac/"+string(p.NetworkID)+"/"+p.MAC.String(), string(p.ID)) ||
			!tx.Claim("ip/"+string(ip.SubnetID)+"/"+ip.IPAddress.String(), string(p.ID)) ||
			!tx.Claim("network-port/"+string(p.NetworkID)+"/"+string(p.ID), string(p.ID)) {
			return neutrino.Errorf(neutrino.Conflict, "InUse", "taken")
		}
		store.Put(tx, store.Ports, p)
		return nil
	})
	return err
}

func benchmarkCreate(b *testing.B, clients int) {
	db := openDB(b, filepath.Join(b.TempDir(), "db"))
	ctx := b.Context()
	const net, subnet = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	if _, err := db.Update(ctx, func(tx *store.Tx) error {
		store.Put(tx, store.Networks, &neutrino.Network{ID: net, NetworkType: neutrino.GRE, SegmentationID: 1})
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	took := make([]time.Duration, b.N)
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				start := time.Now()
				if err := createPort(ctx, db, numbered(uint32(i), net, subnet)); err != nil {
					b.Error(err)
					return
				}
				took[i-1] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ports/s")
}

func BenchmarkCreateSequential(b *testing.B) { benchmarkCreate(b, 1) }
func BenchmarkCreateParallel16(b *testing.B) { benchmarkCreate(b, 16) }

// BenchmarkSnapshot shows that a snapshot costs the same at any size.
func BenchmarkSnapshot(b *testing.B) {
	db := openDB(b, sqlite.Memory)
	for b.Loop() {
		_ = db.Snapshot()
	}
}

// fullStore is a file with so many ports, each with the claims that the API
// makes for it.
func fullStore(b *testing.B, ports int) string {
	path := filepath.Join(b.TempDir(), "db")
	e, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	db, err := store.Open(b.Context(), e)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	const size = 1000
	for first := 0; first < ports; first += size {
		network, subnet := neutrino.ID(fmt.Sprintf("%08x-1111-4111-8111-111111111111", first)), neutrino.ID(fmt.Sprintf("%08x-2222-4222-8222-222222222222", first))
		if _, err := db.Update(b.Context(), func(tx *store.Tx) error {
			for i := range size {
				p := numbered(uint32(first+i), network, subnet)
				tx.Claim("mac/"+string(network)+"/"+p.MAC.String(), string(p.ID))
				tx.Claim("ip/"+string(subnet)+"/"+p.FixedIPs[0].IPAddress.String(), string(p.ID))
				tx.Claim("group-user/"+string(p.SecurityGroups[0])+"/"+string(p.ID), string(p.ID))
				tx.Claim("port-name/"+string(p.ID[:10]), string(p.ID))
				store.Put(tx, store.Ports, p)
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	return path
}

// BenchmarkLoad opens a store with many ports, and says what each costs in
// memory afterwards.
func BenchmarkLoad(b *testing.B) {
	const ports = 200_000
	path := fullStore(b, ports)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	empty := heap()
	b.ResetTimer()
	for b.Loop() {
		e, err := sqlite.Open(b.Context(), sqlite.Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		db, err := store.Open(b.Context(), e)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if n := store.Len(db.Snapshot(), store.Ports); n != ports {
			b.Fatalf("%d ports", n)
		}
		b.ReportMetric(float64(heap()-empty)/ports, "bytes/port")
		if err := errors.Join(db.Close(), e.Close()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"neutrino/store/engine/sqlite"
)

// benchServer is the API on a durable store, behind a real TCP listener.
func benchServer(b *testing.B) (*cloud, *httptest.Server) {
	log := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo}))
	c := openCloud(b, sqlite.Options{Path: filepath.Join(b.TempDir(), "neutrino.db")}, Options{Log: log})
	srv := httptest.NewServer(c.h)
	srv.Client().Transport.(*http.Transport).MaxIdleConnsPerHost = 64
	b.Cleanup(srv.Close)
	return c, srv
}

// benchNetwork is a network with room for 65,000 ports.
func benchNetwork(c *cloud) string {
	net := c.network("bench")
	c.subnet(net, "10.0.0.0/16")
	return fmt.Sprintf(`{"port":{"network_id":%q}}`, net)
}

func createPort(b *testing.B, srv *httptest.Server, body string) time.Duration {
	start := time.Now()
	resp, err := srv.Client().Post(srv.URL+"/v2.0/ports", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		b.Error(err)
		return 0
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusCreated {
		b.Errorf("%d: %s", resp.StatusCode, text)
	}
	return time.Since(start)
}

// reportLatency reports the median and the 99th percentile.
func reportLatency(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func BenchmarkCreatePortSequential(b *testing.B) {
	c, srv := benchServer(b)
	body := benchNetwork(c)
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		took = append(took, createPort(b, srv, body))
	}
	reportLatency(b, took)
}

func BenchmarkCreatePort16(b *testing.B) {
	c, srv := benchServer(b)
	body := benchNetwork(c)
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var clients sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for range 16 {
		clients.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				took[i] = createPort(b, srv, body)
			}
		})
	}
	clients.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "ports/s")
	reportLatency(b, took)
}

func BenchmarkListPorts5000(b *testing.B) {
	c := openCloud(b, sqlite.Options{Path: sqlite.Memory}, Options{})
	body := benchNetwork(c)
	one := body[len(`{"port":`) : len(body)-1]
	for range 50 {
		many := bytes.Repeat([]byte(one+","), 100)
		c.do("POST", "/v2.0/ports", `{"ports":[`+string(many[:len(many)-1])+`]}`).want(201)
	}
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		start := time.Now()
		a := c.get("/v2.0/ports")
		took = append(took, time.Since(start))
		if a.status != 200 || len(a.text) < 5000*500 {
			b.Fatalf("%d, %d bytes", a.status, len(a.text))
		}
	}
	reportLatency(b, took)
}

// bulkBody asks for so many ports like those of instances.
func bulkBody(one string, from, n int) string {
	var b strings.Builder
	b.WriteString(`{"ports":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		number := from + i
		fmt.Fprintf(&b, `%s,"name":"vm-%d","device_id":"%08x-0000-4000-8000-%012x","device_owner":"compute:nova"}`,
			one[:len(one)-1], uint32(number)*2654435761, uint32(number)*2654435761, number)
	}
	return b.String() + `]}`
}

// BenchmarkCreatePortsInBulk makes ports in requests of a thousand.
func BenchmarkCreatePortsInBulk(b *testing.B) {
	c, srv := benchServer(b)
	const size = 1000
	var body string
	n := 0
	b.ResetTimer()
	for b.Loop() {
		if n%30 == 0 { // a network is full after that
			b.StopTimer()
			whole := benchNetwork(c)
			body = whole[len(`{"port":`) : len(whole)-1]
			b.StartTimer()
		}
		b.StopTimer()
		many := bulkBody(body, n*size, size)
		b.StartTimer()
		resp, err := srv.Client().Post(srv.URL+"/v2.0/ports", "application/json", strings.NewReader(many))
		if err != nil {
			b.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		if resp.Body.Close(); resp.StatusCode != http.StatusCreated {
			b.Fatalf("%d: %.500s", resp.StatusCode, text)
		}
		n++
	}
	b.ReportMetric(float64(n*size)/b.Elapsed().Seconds(), "ports/s")
}

// BenchmarkLists asks for pages and lists among many ports.
func BenchmarkLists(b *testing.B) {
	c := openCloud(b, sqlite.Options{Path: sqlite.Memory}, Options{})
	whole := benchNetwork(c)
	one := whole[len(`{"port":`) : len(whole)-1]
	for n := range 30 {
		c.do("POST", "/v2.0/ports", bulkBody(one, n*1000, 1000)).want(201)
	}
	marker := c.get("/v2.0/ports?limit=1&name=vm-0").list("ports")[0]["id"]
	for name, path := range map[string]string{
		"page":       fmt.Sprintf("/v2.0/ports?limit=1000&marker=%v", marker),
		"byName":     fmt.Sprintf("/v2.0/ports?limit=1000&sort_key=name&sort_dir=asc&marker=%v", marker),
		"byNameBack": fmt.Sprintf("/v2.0/ports?limit=1000&sort_key=name&sort_dir=desc&marker=%v", marker),
		"byTime":     fmt.Sprintf("/v2.0/ports?limit=1000&sort_key=created_at&sort_dir=asc&marker=%v", marker),
		"device":     "/v2.0/ports?device_id=00000000-0000-4000-8000-000000000000",
		"idsOnly":    fmt.Sprintf("/v2.0/ports?limit=1000&fields=id&marker=%v", marker),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c.get(path).want(200)
			}
		})
	}
}

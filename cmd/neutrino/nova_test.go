package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"neutrino"
	"neutrino/feed"
	"neutrino/nova/novatest"
)

// asProgram has the test binary be the program itself.
const asProgram = "NEUTRINO_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Unsetenv(asProgram)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program is a server in a process of its own.
type program struct {
	*testing.T
	dir, url, metrics string
	cmd               *exec.Cmd
	out               bytes.Buffer
}

func freeAddress(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// newProgram writes the configuration of a server that tells the cloud's Nova.
func newProgram(t *testing.T, cloud *novatest.Cloud) *program {
	api, metrics := freeAddress(t), freeAddress(t)
	p := &program{T: t, dir: t.TempDir(), url: "http://" + api, metrics: "http://" + metrics + "/metrics"}
	_, port, _ := net.SplitHostPort(api)
	conf := fmt.Sprintf("[DEFAULT]\nbind_port = %s\nstate_path = %s\n[neutrino]\nmetrics_listen = %s\n"+
		"[nova]\nauth_url = %s\nauth_type = password\nusername = %s\npassword = %s\nproject_name = %s\nregion_name = RegionOne\n",
		port, p.dir, metrics, cloud.AuthURL(), novatest.Username, novatest.Password, novatest.Project)
	if err := os.WriteFile(filepath.Join(p.dir, "neutron.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

func (p *program) start() {
	p.Helper()
	p.cmd = exec.Command(os.Args[0], "server", "--config-file", filepath.Join(p.dir, "neutron.conf"))
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.until("the API answers", func() bool {
		resp, err := http.Get(p.url + "/healthz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill is kill -9, and waits for the end.
func (p *program) kill() {
	if p.cmd != nil {
		p.cmd.Process.Kill()
		p.cmd.Wait()
		p.cmd = nil
	}
}

func (p *program) until(what string, ok func() bool) {
	p.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.kill() // its output is complete then
			p.Fatalf("not within 20 s: %s; the server said:\n%s", what, p.out.String())
		}
	}
}

// ask sends a request to the API and is the object in the answer.
func (p *program) ask(request string, body map[string]any) map[string]any {
	p.Helper()
	method, path, _ := strings.Cut(request, " ")
	var content io.Reader
	if body != nil {
		b, _ := json.Marshal(body)
		content = bytes.NewReader(b)
	}
	req, _ := http.NewRequest(method, p.url+path, content)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		p.Fatalf("%s: %s: %s", request, resp.Status, b)
	}
	var answer map[string]map[string]any
	json.Unmarshal(b, &answer)
	for _, o := range answer {
		return o
	}
	return nil
}

// agent is a host that does at once what it is told, and says so.
func (p *program) agent(host string) {
	client, err := feed.NewClient(feed.ClientConfig{Server: "unix:" + filepath.Join(p.dir, "feed.sock"), Registration: neutrino.Registration{
		Host: host, TunnelIP: netip.MustParseAddr("192.0.2.21"), TunnelTypes: []string{"gre"}, Bridge: "br-int",
		Services: []string{neutrino.AgentOVS}, HybridPlug: true,
	}})
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-client.Changed():
				if v, ok := client.Latest(); ok {
					client.Report(neutrino.Report{Host: host, Revision: v.Revision})
				}
			}
		}
	}()
	p.Cleanup(func() {
		cancel()
		<-ended
	})
}

// An instance boots while Nova does not listen; then the server dies by kill -9.
func TestAnEventOutlivesTheServer(t *testing.T) {
	cloud := novatest.New(t)
	p := newProgram(t, cloud)
	p.start()
	p.agent("compute1")
	network := p.ask("POST /v2.0/networks", map[string]any{"network": map[string]any{}})["id"]
	p.until("the agent is known", func() bool {
		resp, err := http.Get(p.url + "/v2.0/agents?host=compute1")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(b), "compute1")
	})
	cloud.Fall()
	const server = "7d6b5bd6-3f24-4c83-9d3e-4ac5ee6b5a1d"
	port := p.ask("POST /v2.0/ports", map[string]any{"port": map[string]any{
		"network_id": network, "device_id": server, "device_owner": "compute:nova", "binding:host_id": "compute1"}})["id"].(string)
	p.until("the port is ACTIVE although Nova is away", func() bool { return p.ask("GET /v2.0/ports/"+port, nil)["status"] == "ACTIVE" })
	p.until("the event is counted", func() bool {
		resp, err := http.Get(p.metrics)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(b), "neutrino_nova_events_waiting 1\n") &&
			strings.Contains(string(b), `neutrino_nova_events_total{name="network-vif-plugged",outcome="failed"}`)
	})
	p.kill()
	cloud.Rise()
	p.start()
	p.until("the event", func() bool { return len(cloud.Events()) > 0 })
	if e := cloud.Events()[0]; e != (novatest.Event{Name: "network-vif-plugged", ServerID: server, Tag: port, Status: "completed"}) {
		t.Errorf("Nova heard %+v", e)
	}

	// A Nova that hangs holds up nothing.
	cloud.Hold()
	attempts := cloud.Attempts()
	began := time.Now()
	p.ask("PUT /v2.0/ports/"+port, map[string]any{"port": map[string]any{"name": "web"}})
	p.until("the message that is not answered", func() bool { return cloud.Attempts() > attempts })
	p.ask("DELETE /v2.0/ports/"+port, nil)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("two requests took %v", took)
	}
	p.kill()
	cloud.Release()
	p.start()
	p.until("the deletion", func() bool {
		all := cloud.Events()
		return all[len(all)-1].Name == "network-vif-deleted"
	})
	p.kill()
	if said := p.out.String(); strings.Contains(said, "planted") {
		t.Errorf("a secret in the log:\n%s", said)
	}
}

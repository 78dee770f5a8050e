package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"neutrino/api"
	asking "neutrino/auth"
	"neutrino/intent"
	"neutrino/store"
	"neutrino/store/storetest"
)

// cloud is the real API on a store in memory, and a client without any
// environment but the endpoint.
type cloud struct {
	t      *testing.T
	db     *store.DB
	url    string
	source source
	errors string // what the last command printed beside its output
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	return newCloudFor(t, nil)
}

// newCloudFor asks who is asking; nil believes everybody.
func newCloudFor(t *testing.T, who asking.Authenticator) *cloud {
	t.Helper()
	db := storetest.Open(t)
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	handler, err := api.New(intent.New(db, intent.DefaultConfig()), db, api.Options{Log: quiet, Auth: who})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &cloud{t: t, db: db, url: server.URL, source: from(map[string]string{"OS_ENDPOINT": server.URL})}
}

func from(env map[string]string, dirs ...string) source {
	return source{env: func(name string) string { return env[name] }, dirs: dirs}
}

// split takes a command line apart; single quotes hold blanks together.
func split(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// root is a fresh command, as every process has it.
func (c *cloud) root(name string) *cobra.Command {
	if name == "neutron" {
		return newProgram(c.source).neutron()
	}
	root := &cobra.Command{Use: "neutrino", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(newProgram(c.source).commands(nil)...)
	return root
}

// try runs a command line that begins with neutrino or neutron.
func (c *cloud) try(line string) (string, error) {
	words := split(line)
	root := c.root(words[0])
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(words[1:])
	err := root.ExecuteContext(context.Background())
	c.errors = errs.String()
	return out.String(), err
}

func (c *cloud) run(line string) string {
	c.t.Helper()
	out, err := c.try(line)
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", line, err, c.errors)
	}
	return out
}

// value is one column of one object.
func (c *cloud) value(line, column string) string {
	c.t.Helper()
	return strings.TrimRight(c.run(line+" -f value -c '"+column+"'"), "\n")
}

// refused runs a line that must fail with these words.
func (c *cloud) refused(line, words string) {
	c.t.Helper()
	out, err := c.try(line)
	if err == nil {
		c.t.Errorf("%s succeeded:\n%s", line, out)
	} else if got := c.errors + err.Error(); !strings.Contains(got, words) {
		c.t.Errorf("%s:\ngot  %s\nwant %s", line, got, words)
	}
}

// stable replaces what differs from run to run by something of the same length.
func stable(s string) string {
	ids := map[string]string{}
	s = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`).ReplaceAllStringFunc(s, func(id string) string {
		if ids[id] == "" {
			ids[id] = fmt.Sprintf("00000000-0000-0000-0000-%012d", len(ids)+1)
		}
		return ids[id]
	})
	s = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`).ReplaceAllString(s, "2000-01-01T00:00:00Z")
	return regexp.MustCompile(`fa:16:3e(:[0-9a-f]{2}){3}`).ReplaceAllString(s, "fa:16:3e:00:00:00")
}

// prints compares the output of a line with a text.
func (c *cloud) prints(line, want string) {
	c.t.Helper()
	if got := stable(c.run(line)); strings.TrimSpace(got) != strings.TrimSpace(want) {
		c.t.Errorf("%s prints\n%s\nwant\n%s", line, got, strings.TrimSpace(want))
	}
}

// web is a cloud with a network, a subnet, a port, an external network and a
// router between them.
func web(t *testing.T) *cloud {
	t.Helper()
	c := newCloud(t)
	for _, line := range []string{
		"neutrino network create web",
		"neutrino subnet create web-v4 --network web --subnet-range 10.1.0.0/24 --dns-nameserver 192.0.2.53 --host-route destination=10.8.0.0/24,gateway=10.1.0.9",
		"neutrino network create public --external",
		"neutrino subnet create public-v4 --network public --subnet-range 198.51.100.0/24 --no-dhcp",
		"neutrino router create r1 --external-gateway public --fixed-ip subnet=public-v4,ip-address=198.51.100.7",
		"neutrino router add subnet r1 web-v4",
		"neutrino security group create www",
		"neutrino port create web-1 --network web --fixed-ip subnet=web-v4,ip-address=10.1.0.7 --security-group www",
	} {
		c.run(line)
	}
	return c
}

// keystone answers as Keystone does, for one user and password, and counts how
// often it is asked. It sends the caller to the API of the cloud.
func (c *cloud) keystone(bodies *[]string) string {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	c.t.Cleanup(server.Close)
	mux.HandleFunc("POST /v3/auth/tokens", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*bodies = append(*bodies, string(body))
		if !strings.Contains(string(body), `"password":"secret"`) && !strings.Contains(string(body), `"id":"a-token"`) {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}`)
			return
		}
		w.Header().Set("X-Subject-Token", "issued")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"token":{"catalog":[{"type":"identity","endpoints":[]},{"type":"network","endpoints":[
			{"interface":"internal","region":"north","region_id":"north","url":"http://192.0.2.1:1"},
			{"interface":"public","region":"south","region_id":"south","url":"http://192.0.2.1:2"},
			{"interface":"public","region":"north","region_id":"north","url":%q}]}]}}`, c.url)
	})
	return server.URL
}

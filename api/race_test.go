package api

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// crowd is how many clients want the same thing at once.
const crowd = 64

// together lets that many clients ask at the same moment and counts the answers
// by status and error type. A failure of the server ends the test.
func together(t *testing.T, ask func(client int) *answer) map[string]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	results := map[string]int{}
	for client := range crowd {
		wg.Go(func() {
			<-start
			a := ask(client)
			what := strconv.Itoa(a.status)
			if a.status >= 400 {
				if e, ok := a.json()["NeutronError"].(map[string]any); ok {
					what += fmt.Sprint(" ", e["type"])
				}
			}
			if a.status >= http.StatusInternalServerError {
				t.Errorf("client %d: %d %s", client, a.status, a.text)
			}
			mu.Lock()
			defer mu.Unlock()
			results[what]++
		})
	}
	close(start)
	wg.Wait()
	return results
}

// addresses are those of all ports of a network; one that two have is an error.
func addresses(t *testing.T, c *cloud, network string) map[string]bool {
	t.Helper()
	taken := map[string]bool{}
	for _, p := range c.get("/v2.0/ports?network_id=" + network).list("ports") {
		for _, f := range p["fixed_ips"].([]any) {
			ip := f.(map[string]any)["ip_address"].(string)
			if taken[ip] {
				t.Errorf("two ports have %s", ip)
			}
			taken[ip] = true
		}
	}
	return taken
}

func TestACrowdForTheLastAddresses(t *testing.T) {
	c := newCloud(t)
	network := c.network("crowded")
	c.subnet(network, "10.0.0.0/24")
	const left, all = 20, 253
	one := fmt.Sprintf(`{"network_id":%q}`, network)
	c.do("POST", "/v2.0/ports", bulkBody(one, 0, all-left)).want(201)
	got := together(t, func(int) *answer { return c.do("POST", "/v2.0/ports", `{"port":`+one+`}`) })
	if got["201"] != left || got["409 IpAddressGenerationFailure"] != crowd-left {
		t.Errorf("answers %v", got)
	}
	if taken := addresses(t, c, network); len(taken) != all {
		t.Errorf("%d addresses are taken, want %d", len(taken), all)
	}
}

// Those who ask for many get all or nothing, and what is given back by one may
// be another's.
func TestACrowdForTheLastAddressesInBulk(t *testing.T) {
	c := newCloud(t)
	network := c.network("crowded")
	c.subnet(network, "10.0.0.0/24")
	const size = 7
	many := bulkBody(fmt.Sprintf(`{"network_id":%q}`, network), 0, size)
	got := together(t, func(int) *answer { return c.do("POST", "/v2.0/ports", many) })
	if got["201"] != 253/size || got["201"]+got["409 IpAddressGenerationFailure"] != crowd {
		t.Errorf("answers %v", got)
	}
	if taken := addresses(t, c, network); len(taken) != 253/size*size {
		t.Errorf("%d addresses are taken", len(taken))
	}
}

func TestACrowdForOneMACAndOneAddress(t *testing.T) {
	c := newCloud(t)
	network := c.network("crowded")
	c.subnet(network, "10.0.0.0/24")
	got := together(t, func(int) *answer {
		return c.do("POST", "/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q,"mac_address":"02:00:00:00:00:05","fixed_ips":[]}}`, network))
	})
	if got["201"] != 1 || got["409 MacAddressInUse"] != crowd-1 {
		t.Errorf("MAC: %v", got)
	}
	got = together(t, func(int) *answer {
		return c.do("POST", "/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q,"fixed_ips":[{"ip_address":"10.0.0.250"}]}}`, network))
	})
	if got["201"] != 1 || got["409 IpAddressAlreadyAllocated"] != crowd-1 {
		t.Errorf("address: %v", got)
	}
	addresses(t, c, network)
}

// Every client adds one to a number in the port's name, and makes sure with
// If-Match that it was the one it read: none of the additions is lost.
func TestNoUpdateIsLostUnderIfMatch(t *testing.T) {
	c := newCloud(t)
	network := c.network("n")
	port := c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q,"name":"0"}}`, network))
	path := "/v2.0/ports/" + port["id"].(string)
	const each = 3
	got := together(t, func(int) *answer {
		var last *answer
		for added := 0; added < each; {
			now := c.get(path).want(200).one()
			n, err := strconv.Atoi(now["name"].(string))
			if err != nil {
				t.Error(err)
			}
			last = c.do("PUT", path, fmt.Sprintf(`{"port":{"name":"%d"}}`, n+1),
				"If-Match", fmt.Sprintf("revision_number=%v", now["revision_number"]))
			switch last.status {
			case http.StatusOK:
				added++
			case http.StatusPreconditionFailed:
			default:
				return last
			}
		}
		return last
	})
	if got["200"] != crowd {
		t.Errorf("answers %v", got)
	}
	end := c.get(path).want(200).one()
	if end["name"] != strconv.Itoa(crowd*each) || end["revision_number"] != port["revision_number"].(float64)+crowd*each {
		t.Errorf("name %v, revision %v", end["name"], end["revision_number"])
	}
}

// Clients that change different attributes of one port do not undo each other.
func TestUpdatesOfDifferentAttributesAllHold(t *testing.T) {
	c := newCloud(t)
	network := c.network("n")
	port := c.post("/v2.0/ports", fmt.Sprintf(`{"port":{"network_id":%q}}`, network))
	path := "/v2.0/ports/" + port["id"].(string)
	attributes := []string{"name", "description", "device_id", "device_owner"}
	got := together(t, func(client int) *answer {
		return c.do("PUT", path, fmt.Sprintf(`{"port":{%q:"compute:%d"}}`, attributes[client%4], client))
	})
	if got["200"] != crowd {
		t.Errorf("answers %v", got)
	}
	end := c.get(path).want(200).one()
	for i, name := range attributes {
		var client int
		if n, _ := fmt.Sscanf(end[name].(string), "compute:%d", &client); n != 1 || client%4 != i {
			t.Errorf("%s is %v", name, end[name])
		}
	}
	if end["revision_number"] != port["revision_number"].(float64)+crowd {
		t.Errorf("revision %v after %d changes", end["revision_number"], crowd)
	}
}

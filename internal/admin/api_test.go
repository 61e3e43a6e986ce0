package admin

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// asked notes how many rows are asked for.
type asked struct {
	Backend
	n int
}

func (b *asked) Metrics() http.Handler { return http.NotFoundHandler() }

func (b *asked) Top(_ string, n int) (Top, error) {
	b.n = n
	return Top{}, nil
}

func (b *asked) Suppressed(_ string, n int) (out SuppressedPage) {
	b.n = n
	return out
}

// TestLimits: a limit that is no number of rows is refused with what is allowed, and
// the backend is not asked.
func TestLimits(t *testing.T) {
	for _, x := range []struct {
		path        string
		usual, most int
	}{{"/v1/top", 20, topRows}, {"/v1/suppression", page, page}} {
		for limit, want := range map[string]int{"": x.usual, "1": 1, strconv.Itoa(x.most): x.most, "0": 0, "-1": 0, "x": 0, strconv.Itoa(x.most + 1): 0} {
			b := &asked{}
			r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+x.path+"?limit="+limit, nil)
			w := httptest.NewRecorder()
			Handler(b, slog.New(slog.NewTextHandler(io.Discard, nil))).ServeHTTP(w, r)
			if refused := w.Code == http.StatusBadRequest && strings.Contains(w.Body.String(), "from 1 to "+strconv.Itoa(x.most)); b.n != want || refused != (want == 0) {
				t.Errorf("%s limit %q: %d rows asked for, want %d; %d %s", x.path, limit, b.n, want, w.Code, w.Body)
			}
		}
	}
}

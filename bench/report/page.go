package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"strings"

	"github.com/headrace/headrace/bench"
)

// The page of a report. uPlot draws (MIT licence, beside it; version 1.6.32, as
// published).
var (
	//go:embed page/report.html
	pageTemplate string
	//go:embed page/report.css
	pageStyle string
	//go:embed page/report.js
	pageScript string
	//go:embed page/uPlot.js
	uPlotScript string
	//go:embed page/uPlot.css
	uPlotStyle string
	//go:embed page/uPlot-LICENSE
	uPlotLicence string
)

var page = template.Must(template.New("report").Parse(pageTemplate))

// htmlReport is what the page shows.
type htmlReport struct {
	*bench.Result
	Policy   string // what the page may do: nothing but its own scripts and styles
	Style    template.CSS
	Scripts  []template.JS
	Subtitle string
	Lines    [][2]string // of a job that is not about messages
	When     string
	Tiles    []tile
	Charts   []chart
	Tables   []bench.Table
	Facts    []facts
}

// tile is a headline figure.
type tile struct {
	Name, Value, Unit, Note string
	Bad                     bool
}

// facts are named values under a title.
type facts struct {
	Title string
	Rows  [][2]string
}

// WriteHTML writes a report as a page that needs nothing else: no other file and no
// network. What servers and files have a say in is text in it, and cannot become more.
func WriteHTML(w io.Writer, r *bench.Result) error {
	style := uPlotStyle + pageStyle
	scripts := []string{"/*\n" + uPlotLicence + "*/\n" + uPlotScript, pageScript}
	of := view{r}
	v := &htmlReport{
		Result: r, Style: template.CSS(style), Subtitle: of.subtitle(), When: r.Started.Format("2 January 2006, 15:04:05 MST"),
		Tiles: of.tiles(), Charts: of.charts(), Tables: of.tables(), Facts: of.facts(), Lines: of.summaryLines(),
	}
	allowed := []string{"default-src 'none'", "img-src data:", "style-src " + digest(style), "script-src"}
	for _, s := range scripts {
		v.Scripts = append(v.Scripts, template.JS(s))
		allowed[3] += " " + digest(s)
	}
	v.Policy = strings.Join(allowed, "; ")
	return page.Execute(w, v)
}

// digest is how a policy names a script or a style by its content.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

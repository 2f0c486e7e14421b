package main

import (
	"errors"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// plots are the jobs that are drawn, each in a picture of its own.
var plots = []string{"1000:1:20", "100:16:20", "1000:1:16384"}

var (
	ourColour   = color.RGBA{R: 0x0b, G: 0x6e, B: 0x99, A: 0xff}
	theirColour = color.RGBA{R: 0xb8, G: 0xc4, B: 0xcc, A: 0xff}
)

// draw makes a picture of each job that is drawn, and gives their files.
func (r *report) draw(dir string) (files []string, err error) {
	for _, name := range plots {
		for _, j := range r.Jobs {
			if j.Name != name || len(j.Servers) == 0 {
				continue
			}
			file := filepath.Join(dir, "peers-"+fileName(name)+".svg")
			if err := j.draw(file); err != nil {
				return files, err
			}
			files = append(files, file)
		}
	}
	return files, nil
}

func fileName(job string) string {
	b := []byte(job)
	for i, c := range b {
		if c == ':' {
			b[i] = '-'
		}
	}
	return string(b)
}

// draw makes a bar for each server: CPU for each message in microseconds.
func (r *jobResult) draw(file string) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	p := plot.New()
	p.Title.Text = r.Title
	p.Title.TextStyle.Font.Size, p.Title.Padding = 13, 8
	p.X.Label.Text = "microseconds of server CPU for each message; less is better"
	p.X.Label.TextStyle.Font.Size, p.X.Label.Padding = 10, 4
	p.X.Min = 0
	p.Y.LineStyle.Width, p.Y.Tick.Length = 0, 0
	var names []string
	for i := len(r.Servers) - 1; i >= 0; i-- { // the first stands above
		s := r.Servers[i]
		micros := s.Median.ServerCPU / 1e3
		bar, err := plotter.NewBarChart(plotter.Values{micros}, 14)
		if err != nil {
			return err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width, bar.Color = true, float64(len(names)), 0, theirColour
		if s.Name == ours {
			bar.Color = ourColour
		}
		label, err := plotter.NewLabels(plotter.XYLabels{
			XYs: plotter.XYs{{X: micros, Y: float64(len(names))}}, Labels: []string{fmt.Sprintf("%.1f", micros)},
		})
		if err != nil {
			return err
		}
		label.Offset = vg.Point{X: 5, Y: -4}
		p.Add(bar, label)
		names = append(names, s.Name)
		p.X.Max = max(p.X.Max, micros*1.08) // room for the last label
	}
	p.NominalY(names...)
	return save(p, file, 16*vg.Centimeter, vg.Length(len(names)+3)*0.72*vg.Centimeter)
}

// save writes a plot as SVG, with a margin.
func save(p *plot.Plot, file string, width, height vg.Length) error {
	const margin = 8
	canvas := vgsvg.New(width, height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	p.Draw(draw.Crop(all, margin, -2*margin, margin, -margin))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return errors.Join(err, f.Close())
}

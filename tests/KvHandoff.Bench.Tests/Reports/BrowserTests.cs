using System.Diagnostics;
using System.Text.RegularExpressions;
using KvHandoff.Bench.Tests.Commands;
using Xunit.Abstractions;

namespace KvHandoff.Bench.Tests.Reports;

/// <summary>Pages in headless Chromium, at the width of a screen and of a telephone. Where KVHANDOFF_PAGES names a directory the pages stay there to be looked at.</summary>
public sealed class BrowserTests(ITestOutputHelper output)
{
    private const string Kept = "KVHANDOFF_PAGES";

    // What the page says of itself once it is laid out; its own file has no script.
    private const string Check = """
        <pre id="check"></pre><script>
        addEventListener('load', function () {
          var r = [], root = document.documentElement;
          if (root.scrollWidth > root.clientWidth) {
            var wide = Array.from(document.querySelectorAll('body *')).find(function (e) { return e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest('.wide, .scroll, svg, .skip'); });
            r.push('overflow ' + root.scrollWidth + ' of ' + root.clientWidth + ' by ' + (wide ? wide.outerHTML.slice(0, 120) : '?'));
          }
          var figures = document.querySelectorAll('figure'), shown = 0, small = 0;
          figures.forEach(function (f) {
            if (f.closest('details:not([open])')) return;
            var box = f.getBoundingClientRect(), svg = Array.from(f.querySelectorAll('svg')).filter(function (s) { return s.getBoundingClientRect().width > 0; });
            if (box.width < 100 || box.height < 40) r.push('no size: ' + f.id);
            if (!f.querySelector('.words') && svg.length !== 1) r.push(svg.length + ' pictures shown: ' + f.id);
            svg.forEach(function (s) {
              shown++;
              var edge = s.getBoundingClientRect(), scale = edge.width / s.viewBox.baseVal.width;
              if (scale * 12 < 9.5) { small++; r.push('text of ' + (scale * 12).toFixed(1) + ' px: ' + s.id); }
              s.querySelectorAll('text').forEach(function (t) { var b = t.getBoundingClientRect(); if (b.left < edge.left - 3 || b.right > edge.right + 6) r.push('text out of the picture: ' + s.id + ' ' + t.textContent.slice(0, 40)); });
            });
          });
          document.getElementById('check').textContent = 'figures=' + figures.length + ' shown=' + shown + ' problems=[' + r.join(' | ') + ']';
        });
        </script></body>
        """;

    [Theory]
    [InlineData("evaluation", 1280)]
    [InlineData("evaluation", 400)]
    [InlineData("comparison", 400)]
    [InlineData("handoff", 400)]
    public void Every_figure_has_its_size_and_nothing_runs_over(string kind, int width)
    {
        using var scratch = new Scratch();
        string? kept = Environment.GetEnvironmentVariable(Kept);
        string directory = kept is null ? scratch.FullName : Directory.CreateDirectory(Path.Combine(kept, kind)).FullName;
        string page = kind switch { "evaluation" => PageSamples.WriteEvaluation(directory), "comparison" => PageSamples.WriteComparison(directory), _ => PageSamples.WriteHandoff(directory) };
        if (Browser() is not { } browser)
        {
            output.WriteLine("Skipped: there is no chromium on the PATH.");
            return;
        }

        // A frame of the wanted width: the window itself does not become narrower than a desktop's.
        string framed = Path.Combine(directory, $"framed-{width}.html"), inner = Path.Combine(directory, $"checked-{width}.html");
        File.WriteAllText(inner, File.ReadAllText(page).Replace("</body>", Check, StringComparison.Ordinal));
        File.WriteAllText(framed, $"<!DOCTYPE html><body><iframe id=\"f\" style=\"width:{width}px;height:900px;border:0\" src=\"{Path.GetFileName(inner)}\"></iframe><pre id=\"out\"></pre><script>addEventListener('load', function () {{ setTimeout(function () {{ document.getElementById('out').textContent = 'CHECK ' + document.getElementById('f').contentDocument.getElementById('check').textContent; }}, 200); }});</script></body>");
        (string dom, string console) = Run(browser, scratch.FullName, framed);
        Match check = Regex.Match(dom, "CHECK figures=(?<figures>[0-9]+) shown=(?<shown>[0-9]+) problems=\\[(?<problems>.*?)\\]</pre>", RegexOptions.Singleline);
        Assert.True(check.Success, $"The page did not report. {console}");
        output.WriteLine(check.Value);
        Assert.Equal("", check.Groups["problems"].Value);
        Assert.True(int.Parse(check.Groups["figures"].Value) >= (kind == "evaluation" ? 25 : 2), check.Value);
        Assert.DoesNotContain("CONSOLE", console, StringComparison.Ordinal);
    }

    private static string? Browser() => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).SelectMany(p => new[] { Path.Combine(p, "chromium"), Path.Combine(p, "chromium-browser") }).FirstOrDefault(File.Exists);

    private static (string Dom, string Errors) Run(string browser, string profile, string page)
    {
        var start = new ProcessStartInfo(browser) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in new[] { "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--allow-file-access-from-files", "--enable-logging=stderr", "--log-level=0", $"--user-data-dir={Path.Combine(profile, "profile")}", "--window-size=1400,1000", "--virtual-time-budget=8000", "--timeout=60000", "--dump-dom", new Uri(page).AbsoluteUri }) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start)!;
        Task<string> dom = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromSeconds(120)))
        {
            process.Kill(entireProcessTree: true);
            Assert.Fail("Chromium did not end.");
        }

        return (dom.Result, errors.Result);
    }
}

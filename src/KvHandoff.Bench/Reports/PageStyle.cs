using KvHandoff.Bench.Charts;

namespace KvHandoff.Bench.Reports;

/// <summary>The look of every page: light or dark as the reader's system is or as he chooses, for screens of 360 pixels and more, and for paper.</summary>
internal static class PageStyle
{
    internal static string Text { get; } = $$"""
        :root { color-scheme: light dark; {{ChartTheme.Variables(false)}} }
        @media (prefers-color-scheme: dark) { :root:not(:has(#theme-light:checked)) { {{ChartTheme.Variables(true)}} } }
        :root:has(#theme-dark:checked) { color-scheme: dark; {{ChartTheme.Variables(true)}} }
        :root:has(#theme-light:checked) { color-scheme: light; }
        {{Layout}}
        {{ChartTheme.Shapes}}
        {{ChartTheme.Series}}{{Pictures}}
        @media print { :root { color-scheme: light !important; {{ChartTheme.Variables(false, true)}} } {{Paper}} }
        """;

    private const string Layout = """
        *, *::before, *::after { box-sizing: border-box; }
        body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--page); max-width: 77rem; margin: 0 auto; padding: 0.75rem 1rem 3rem; }
        h1 { font-size: 1.55rem; line-height: 1.25; margin: 0.5rem 0; text-wrap: balance; overflow-wrap: anywhere; } h2 { font-size: 1.2rem; margin: 2.5rem 0 0.25rem; padding-top: 0.5rem; border-top: 1px solid var(--line); scroll-margin-top: 0.5rem; }
        h3 { font-size: 1rem; margin: 0; } p { margin: 0.25rem 0 0.75rem; max-width: 75ch; overflow-wrap: anywhere; } .note, .env { color: var(--soft); font-size: 0.9rem; overflow-wrap: anywhere; }
        a { color: var(--native); } :focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; border-radius: 3px; }
        .skip { position: absolute; left: -999rem; } .skip:focus { left: 1rem; top: 0.5rem; background: var(--page); padding: 0.5rem 0.75rem; z-index: 1; }
        .theme { border: 0; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 0.9rem; font-size: 0.85rem; color: var(--soft); } .theme legend { float: left; padding: 0; margin-right: 0.9rem; } .theme label { cursor: pointer; }
        .contents { font-size: 0.9rem; margin: 0.75rem 0; } .contents ul { list-style: none; display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; margin: 0; padding: 0; }
        .good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; } .warn { color: var(--warn); font-weight: 600; }
        .facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 10.5rem), 1fr)); gap: 0.75rem; margin: 1rem 0; padding: 0; list-style: none; }
        .facts li { border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 0.8rem; background: var(--raised); overflow-wrap: anywhere; } .facts b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; } .facts small { display: block; color: var(--soft); font-size: 0.82rem; }
        .wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; max-width: 100%; } .wide + .wide { margin-top: 1rem; } .scroll { overflow-x: auto; max-width: 100%; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.88rem; } caption { text-align: left; padding: 0.4rem 0.55rem; color: var(--soft); }
        th, td { padding: 0.3rem 0.55rem; text-align: left; white-space: nowrap; vertical-align: top; } th { border-bottom: 1px solid var(--line); color: var(--soft); font-weight: 600; } td.long { white-space: normal; min-width: 16rem; overflow-wrap: anywhere; }
        .n { text-align: right; } tbody tr:nth-child(even) { background: var(--stripe); }
        .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 31rem), 1fr)); gap: 1rem; margin: 1rem 0; align-items: start; }
        .figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem 0.9rem; background: var(--raised); min-width: 0; } .figure.whole { grid-column: 1 / -1; }
        .figure figcaption { margin-bottom: 0.75rem; } .figure figcaption p { margin: 0.1rem 0 0; color: var(--soft); font-size: 0.86rem; max-width: 90ch; } .figure .words { color: var(--soft); margin: 0.5rem 0; }
        .draw { container-type: inline-size; } .draw > .m, .draw > .l { display: none; }
        @container (min-width: 480px) { .draw > .s { display: none; } .draw > .m { display: block; max-width: 800px; } }
        @container (min-width: 900px) { .draw.whole > .m { display: none; } .draw > .l { display: block; } }
        details { margin-top: 0.6rem; font-size: 0.9rem; } summary { cursor: pointer; color: var(--soft); width: fit-content; } details[open] > summary { margin-bottom: 0.4rem; }
        dl.facts-list { display: grid; grid-template-columns: minmax(8rem, max-content) minmax(0, 1fr); gap: 0.2rem 1rem; font-size: 0.9rem; } dl.facts-list dt { color: var(--soft); } dl.facts-list dd { margin: 0; overflow-wrap: anywhere; }
        """;

    // Pictures of plan, simulation, kernels and phases.
    private const string Pictures = """
        .chart svg { width: 100%; height: 1.2rem; display: block; } .chart .steps svg { height: 5rem; } .chart .steps { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); font-size: 0.85rem; line-height: 1.25rem; color: var(--soft); } .chart .steps span { display: block; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
        .bar { font-size: 0.88rem; margin: 0.6rem 0 0.15rem; max-width: none; } .chart { margin-top: 0.75rem; } .legend { font-size: 0.88rem; } .legend span { margin-right: 0.9rem; white-space: nowrap; }
        .legend i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.35em; }
        .p0 { fill: var(--c5); background: var(--c5); } .p1 { fill: var(--c4); background: var(--c4); } .p2 { fill: var(--c7); background: var(--c7); } .p3 { fill: var(--c3); background: var(--c3); } .p4 { fill: var(--c0); background: var(--c0); } .p5 { fill: var(--c2); background: var(--c2); }
        .p6 { fill: var(--c1); background: var(--c1); } .p7 { fill: var(--c6); background: var(--c6); } .p8 { fill: var(--soft); background: var(--soft); } .hatch { stroke: var(--page); stroke-width: 2.2; stroke-opacity: 0.7; } i.exposed { background: repeating-linear-gradient(45deg, var(--c1) 0 3px, var(--page) 3px 5px); }
        .roofline { width: 100%; min-width: 46rem; height: auto; display: block; margin-top: 0.75rem; font-size: 12px; } .roofline text { fill: var(--soft); }
        .roofline .grid { stroke: var(--line); stroke-width: 0.5; } .roofline .leader { stroke: var(--soft); stroke-width: 0.9; }
        .roofline .roof { fill: none; stroke: var(--ink); stroke-width: 1.5; } .roofline .dashed { stroke-dasharray: 6 4; }
        .roofline .point-name, .roofline .roof-name { fill: var(--ink); paint-order: stroke; stroke: var(--page); stroke-width: 3px; stroke-linejoin: round; } .roofline .point-name { font-size: 11.5px; } .roofline .of-native { fill: var(--native); } .roofline .of-managed { fill: var(--managed); }
        .roofline .fit { fill: none; stroke-width: 1.5; } .f1 { stroke: var(--c4); } .f3 { stroke: var(--c3); } .f4 { stroke: var(--c0); } .f5 { stroke: var(--c2); } .f6 { stroke: var(--c1); } .f7 { stroke: var(--c6); }
        .native { fill: var(--native); background: var(--native); } .managed { fill: var(--page); stroke: var(--managed); stroke-width: 2; } i.managed { box-shadow: inset 0 0 0 2px var(--managed); }
        """;

    private const string Paper = """
        body { max-width: none; padding: 0; font-size: 11px; } .theme, .contents, .skip { display: none; } .figure, .facts li, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } .wide, .scroll { overflow: visible; border: 0; } .roofline { min-width: 0; }
        """;
}

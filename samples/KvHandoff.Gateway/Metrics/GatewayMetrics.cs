using System.Globalization;
using System.Text;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Metrics;

/// <summary>Everything that <c>/metrics</c> shows of the gateway itself. Thread-safe.</summary>
internal sealed class GatewayMetrics
{
    private readonly LabelledCounter _requests = new("kvhandoff_gateway_requests_total", "Requests answered, by path, route and status.", "path", "route", "status");
    private readonly LabelledCounter _tokens = new("kvhandoff_gateway_tokens_total", "Tokens of completed requests.", "kind");
    private readonly LabelledCounter _bytes = new("kvhandoff_gateway_handoff_bytes_total", "Bytes of KV cache handed over, and those that travelled.", "kind");
    private readonly LabelledCounter _handoffs = new("kvhandoff_gateway_handoffs_total", "Handoffs that committed.");
    private readonly LabelledCounter _retries = new("kvhandoff_gateway_retries_total", "Attempts begun again elsewhere, by the failure before.", "failure");
    private readonly LabelledCounter _preemptions = new("kvhandoff_gateway_request_preemptions_total", "How often completed requests had made room.");
    private readonly Histogram _queue = new("kvhandoff_gateway_queue_seconds", "Waited for a place, at the gateway and at workers."),
        _prompt = new("kvhandoff_gateway_prompt_seconds", "Computing the prompt."),
        _handoff = new("kvhandoff_gateway_handoff_seconds", "From the end of computing the prompt to the receiver's verdict: the exposed part."),
        _completion = new("kvhandoff_gateway_completion_seconds", "Generating."),
        _total = new("kvhandoff_gateway_total_seconds", "From the request to its last token."),
        _firstToken = new("kvhandoff_gateway_first_token_seconds", "From the request to its first token.");

    /// <summary>Counts an answered request.</summary>
    /// <param name="path">The route's own pattern, never the client's text.</param>
    internal void CountRequest(string path, string route, int status) => _requests.Add(1, path, route, status.ToString(CultureInfo.InvariantCulture));

    internal void CountRetry(string failure) => _retries.Add(1, failure);

    /// <summary>Counts a request that was completed.</summary>
    internal void CountCompleted(RequestAccount account, TimeInfo time)
    {
        _tokens.Add(account.PromptTokens, "prompt");
        _tokens.Add(account.CompletionTokens, "completion");
        _tokens.Add(account.CachedTokens, "cached");
        if (account.Prefill is { } prefill)
        {
            _handoffs.Add(1);
            _bytes.Add(prefill.KvBytes, "kv");
            _bytes.Add(prefill.WireBytes, "wire");
            _handoff.Observe(time.HandoffTime);
        }

        if (account.Preemptions > 0) _preemptions.Add(account.Preemptions);
        _queue.Observe(time.QueueTime);
        _prompt.Observe(time.PromptTime);
        _completion.Observe(time.CompletionTime);
        _total.Observe(time.TotalTime);
        _firstToken.Observe(account.FirstTokenSeconds);
    }

    /// <summary>The whole page.</summary>
    internal string Write(WorkerPool pool, AdmissionQueue queue, string version)
    {
        var text = new StringBuilder(8192);
        text.Append(CultureInfo.InvariantCulture, $"# HELP kvhandoff_gateway_build_info Version of the program.\n# TYPE kvhandoff_gateway_build_info gauge\nkvhandoff_gateway_build_info{{version=\"{PrometheusText.Escape(version)}\",runtime=\"{Environment.Version}\"}} 1\n");
        foreach (LabelledCounter counter in (LabelledCounter[])[_requests, _tokens, _handoffs, _bytes, _retries, _preemptions]) counter.Write(text);
        foreach (Histogram histogram in (Histogram[])[_queue, _prompt, _handoff, _completion, _total, _firstToken]) histogram.Write(text);
        PrometheusText.WriteGauge(text, "kvhandoff_gateway_running", "Requests that run.", queue.Running);
        PrometheusText.WriteGauge(text, "kvhandoff_gateway_waiting", "Requests that wait at the gateway.", queue.Waiting);
        WorkerSeat[] seats = pool.Seats;
        PrometheusText.WriteGauge(text, "kvhandoff_worker_up", "Whether the worker answers.", "worker", seats.Select(s => (s.Name, s.IsUp ? 1.0 : 0)));
        (string Name, double Free, double Running, double Waiting, double Preemptions, double Reused)[] known =
            [.. seats.Where(s => s.Status is not null).Select(s => (s.Name, (double)s.Status!.FreeTokens, (double)s.Status.Running, (double)s.Status.Waiting, (double)s.Status.Preemptions, (double)s.Status.ReusedTokens))];
        PrometheusText.WriteGauge(text, "kvhandoff_worker_free_tokens", "Room in the worker's cache.", "worker", known.Select(k => (k.Name, k.Free)));
        PrometheusText.WriteGauge(text, "kvhandoff_worker_running", "Sequences that the worker works on.", "worker", known.Select(k => (k.Name, k.Running)));
        PrometheusText.WriteGauge(text, "kvhandoff_worker_waiting", "Requests that wait at the worker.", "worker", known.Select(k => (k.Name, k.Waiting)));
        PrometheusText.WriteGauge(text, "kvhandoff_worker_preemptions_total", "Sequences that made room.", "worker", known.Select(k => (k.Name, k.Preemptions)), "counter");
        PrometheusText.WriteGauge(text, "kvhandoff_worker_reused_tokens_total", "Prompt tokens that were in the cache.", "worker", known.Select(k => (k.Name, k.Reused)), "counter");
        return text.ToString();
    }
}

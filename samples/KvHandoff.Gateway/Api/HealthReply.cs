using KvHandoff.Gateway.Contracts;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary><c>/health</c>: whether requests can be served, and each worker. 200 where one route is whole, else 503.</summary>
internal static class HealthReply
{
    internal static Task WriteAsync(HttpContext context, GatewayServices services)
    {
        WorkerSeat[] seats = services.Pool.Seats;
        bool disaggregated = Has(seats, Phase.Prefill) && Has(seats, Phase.Decode), monolithic = Has(seats, Phase.Both);
        bool serves = disaggregated || monolithic, whole = serves && seats.All(s => s.IsUp);
        return GatewayApi.WriteJsonAsync(context, serves ? 200 : 503, json =>
        {
            json.WriteStartObject();
            json.WriteString("status", whole ? "ok" : serves ? "degraded" : "unavailable");
            json.WriteString("version", GatewayApi.Version);
            json.WriteStartObject("routes");
            json.WriteBoolean("disaggregated", disaggregated);
            json.WriteBoolean("monolithic", monolithic);
            json.WriteEndObject();
            json.WriteNumber("running", services.Queue.Running);
            json.WriteNumber("waiting", services.Queue.Waiting);
            json.WriteStartArray("workers");
            foreach (WorkerSeat seat in seats)
            {
                json.WriteStartObject();
                json.WriteString("name", seat.Name);
                json.WriteBoolean("up", seat.IsUp);
                if (!seat.IsUp) json.WriteString("reason", seat.Reason);
                if (seat.Status is { } status)
                {
                    json.WriteString("phases", status.Phases.ToString().ToLowerInvariant());
                    json.WriteString("pool", status.Pool);
                    json.WriteString("model", status.Model);
                    json.WriteString("model_revision", status.ModelRevision);
                    json.WriteString("handoff_endpoint", status.HandoffEndpoint);
                    json.WriteNumber("context_tokens", status.ContextTokens);
                    json.WriteNumber("cache_tokens", status.CacheTokens);
                    json.WriteNumber("free_tokens", status.FreeTokens);
                    json.WriteNumber("running", status.Running);
                    json.WriteNumber("waiting", status.Waiting);
                    json.WriteNumber("preemptions", status.Preemptions);
                    json.WriteNumber("reused_tokens", status.ReusedTokens);
                }

                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static bool Has(WorkerSeat[] seats, Phase phases) => seats.Any(s => s is { IsUp: true, Status: { } status } && status.Phases == phases);
}

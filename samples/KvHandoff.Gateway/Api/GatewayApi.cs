using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Reflection;
using System.Text.Json;
using KvHandoff.Gateway.Limits;
using KvHandoff.Gateway.Metrics;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary>The paths of the API, and what every reply has in common.</summary>
internal static class GatewayApi
{
    private const int ClientClosedRequest = 499;

    internal static string Version { get; } = typeof(GatewayApi).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0";

    internal static void Map(WebApplication app, GatewayServices services)
    {
        app.Use((context, next) => AnswerAsync(context, next, services, app.Logger));
        app.MapPost("/v1/chat/completions", new CompletionEndpoint(services, isChat: true).HandleAsync);
        app.MapPost("/v1/completions", new CompletionEndpoint(services, isChat: false).HandleAsync);
        app.MapGet("/v1/models", (RequestDelegate)(context => WriteJsonAsync(context, 200, json =>
        {
            json.WriteStartObject();
            json.WriteString("object", "list");
            json.WriteStartArray("data");
            foreach (string name in services.Models.Names) WriteModel(json, name, services.Models);
            json.WriteEndArray();
            json.WriteEndObject();
        })));
        app.MapGet("/v1/models/{**id}", (RequestDelegate)(context =>
        {
            string id = context.Request.RouteValues["id"]?.ToString() ?? "";
            return services.Models.Has(id) ? WriteJsonAsync(context, 200, json => WriteModel(json, id, services.Models)) : throw new ApiException(ApiError.UnknownModel(id, services.Models.Names));
        }));
        app.MapGet("/v1/tcp_warming", (RequestDelegate)(context => WriteTextAsync(context, "text/plain; charset=utf-8", "OK")));
        app.MapGet("/health", (RequestDelegate)(context => HealthReply.WriteAsync(context, services)));
        app.MapGet("/metrics", (RequestDelegate)(context => WriteTextAsync(context, PrometheusText.ContentType, services.Metrics.Write(services.Pool, services.Queue, Version))));
        app.MapFallback((RequestDelegate)(context => throw new ApiException(Unknown(context.Request))));
    }

    internal static async Task WriteJsonAsync(HttpContext context, int status, Action<Utf8JsonWriter> write)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = ApiJson.ContentType;
        await using var json = new Utf8JsonWriter(context.Response.BodyWriter, ApiJson.WriterOptions);
        write(json);
    }

    // Who asks, what every reply carries, and one place where failures become replies.
    private static async Task AnswerAsync(HttpContext context, RequestDelegate next, GatewayServices services, ILogger log)
    {
        RequestTrail trail = RequestTrail.Of(context);
        trail.Key = services.Keys.Find(context.Request.Headers.Authorization);
        context.Response.Headers["x-request-id"] = trail.EchoedId(context.Request);
        context.Response.Headers["x-kvhandoff-request-id"] = trail.RequestId;
        context.Response.OnStarting(static state =>
        {
            var (response, key) = ((HttpResponse, KeyAccount?))state;
            if (key is not null) WriteLimits(response.Headers, key);
            return Task.CompletedTask;
        }, (context.Response, trail.Key));
        int status;
        try
        {
            if (trail.Key is null && NeedsKey(context)) throw new ApiException(ApiError.WrongKey);
            await next(context);
            status = trail.StreamError?.Status ?? context.Response.StatusCode;
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            status = ClientClosedRequest;
        }
        catch (Exception e) when (!context.Response.HasStarted)
        {
            ApiError error = ErrorReplies.Of(e, services.Models.ContextTokens, trail);
            status = error.Status;
            context.Response.Headers.ContentLength = null;
            await ErrorReplies.WriteAsync(context, error);
        }

        if (trail.Unexpected is { } unexpected) log.LogError(unexpected, "Request {RequestId} failed", trail.RequestId);
        if (!trail.IsCounted) return;
        services.Metrics.CountRequest((context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText is { } pattern && !pattern.Contains("path", StringComparison.Ordinal) ? pattern : "other", trail.Account?.Route ?? "none", status);
    }

    // The path was not found, or not with this method.
    private static ApiError Unknown(HttpRequest request)
    {
        string path = request.Path.ToString();
        bool known = path is "/v1/chat/completions" or "/v1/completions" or "/v1/models" or "/v1/tcp_warming" or "/health" or "/metrics" || path.StartsWith("/v1/models/", StringComparison.Ordinal);
        return known
            ? new ApiError(405, $"{path} does not take {request.Method}.", "invalid_request_error", "method", "method_not_allowed")
            : ApiError.UnknownPath(path[..Math.Min(200, path.Length)]);
    }

    // Probes and the warm-up of connections carry no key; metrics of a local collector need none.
    private static bool NeedsKey(HttpContext context) => context.Request.Path.Value switch
    {
        "/health" or "/v1/tcp_warming" => false,
        "/metrics" => context.Connection.RemoteIpAddress is not { } remote || !IPAddress.IsLoopback(remote),
        _ => true,
    };

    private static void WriteLimits(IHeaderDictionary headers, KeyAccount key)
    {
        foreach (LimitState limit in key.Snapshot())
        {
            headers[$"x-ratelimit-limit-{limit.Name}"] = limit.Limit.ToString(CultureInfo.InvariantCulture);
            headers[$"x-ratelimit-remaining-{limit.Name}"] = limit.Remaining.ToString(CultureInfo.InvariantCulture);
            headers[$"x-ratelimit-reset-{limit.Name}"] = limit.ResetSeconds.ToString("0.######", CultureInfo.InvariantCulture);
        }
    }

    private static void WriteModel(Utf8JsonWriter json, string name, ServedModels models)
    {
        json.WriteStartObject();
        json.WriteString("id", name);
        json.WriteString("object", "model");
        json.WriteNumber("created", models.Since);
        json.WriteString("owned_by", "kvhandoff");
        json.WriteNumber("context_length", models.ContextTokens);
        json.WriteEndObject();
    }

    private static async Task WriteTextAsync(HttpContext context, string contentType, string text)
    {
        context.Response.ContentType = contentType;
        await context.Response.WriteAsync(text, context.RequestAborted);
    }
}

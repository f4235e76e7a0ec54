using System.Globalization;
using KvHandoff.Gateway.Routing;

namespace KvHandoff.Gateway.Api;

/// <summary>Turns failures into replies.</summary>
internal static class ErrorReplies
{
    internal static ApiError Of(Exception failure, int contextTokens, RequestTrail trail)
    {
        switch (failure)
        {
            case ApiException refused: return refused.Error;
            case RequestFailedException failed: return ApiError.Of(failed, contextTokens);
            case BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } e: return ApiError.TooLarge(e.Message);
            case BadHttpRequestException e: return ApiError.BadJson(e.Message) with { Status = e.StatusCode, Message = e.Message };
            default:
                trail.Unexpected = failure;
                return ApiError.Internal;
        }
    }

    internal static async Task WriteAsync(HttpContext context, ApiError error)
    {
        HttpResponse response = context.Response;
        response.StatusCode = error.Status;
        response.ContentType = ApiJson.ContentType;
        if (error.RetryAfter is { } wait)
        {
            // HTTP has whole seconds; clients that know better take the milliseconds.
            response.Headers.RetryAfter = Math.Max(1, Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
            response.Headers["retry-after-ms"] = Math.Max(1, Math.Ceiling(wait.TotalMilliseconds)).ToString(CultureInfo.InvariantCulture);
        }

        if (error.ShouldRetry is { } retry) response.Headers["x-should-retry"] = retry ? "true" : "false";
        if (error.Status == StatusCodes.Status401Unauthorized) response.Headers.WWWAuthenticate = "Bearer";
        byte[] body = error.Body();
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body, context.RequestAborted);
    }
}

